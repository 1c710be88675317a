// Android, with Model.kt and what it names: a model that says something of two texts.
package tfvertical

import android.content.Context

class PairExample(context: Context) {
    private val model = Model(context)
    private val apart = model.described.getString("encoder") == "bi"

    /** The best label and its score. Of several labels ask `labels` in the place of `label`, of numbers `numbers`. */
    fun classify(one: String, other: String): Pair<String, Float> = model.export.label(scores(one, other))

    fun scores(one: String, other: String): FloatArray = model.scores(
        listOf(if (apart) model.tokenizer.inputsApart(one, other) else model.tokenizer.inputs(one, other))
    )
}
