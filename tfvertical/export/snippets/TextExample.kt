// Android, with Model.kt and what it names: a model that says something of a whole text.
package tfvertical

import android.content.Context

class TextExample(context: Context) {
    private val model = Model(context)
    private val windows = model.described.optBoolean("windows") // all of a long text is read then, else its beginning

    /** The best label and its score. Of several labels ask `labels` in the place of `label`, of numbers `numbers`. */
    fun classify(text: String): Pair<String, Float> = model.export.label(scores(text))

    fun scores(text: String): FloatArray = model.scores(
        if (windows) model.tokenizer.inputsInWindows(text) else listOf(model.tokenizer.inputs(text))
    )
}
