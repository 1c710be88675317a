// Android, with Answers.kt, Words.kt, Model.kt and what it names: a model that finds answers.
package tfvertical

import android.content.Context

class AnswerExample(context: Context) {
    private val model = Model(context)
    private val codec = model.described.getJSONObject("codec")
    private val answerer = Answerer(
        model.tokenizer,
        model.described.getInt("max_question"),
        codec.getInt("most_words"),
        if (codec.isNull("threshold")) null else codec.getDouble("threshold")
    ) { model.places(it, 2) }

    /** The passage of a text of any length that answers the question. */
    fun answer(question: String, context: String): Answer = answerer.answer(question, context)
}
