// Android, with Entities.kt, Words.kt, Model.kt and what it names: a tagger.
package tfvertical

import android.content.Context

class EntityExample(context: Context) {
    private val model = Model(context)
    private val tags = model.export.lines("labels.txt")
    private val steps = model.described.optJSONArray("steps")?.all { at ->
        getJSONArray(at).all { getDouble(it).toFloat() }.toFloatArray()
    }
    private val every = model.described.getString("pieces") == "all"
    private val tagger = Tagger(model.tokenizer, tags, every, steps) { model.places(it, tags.size) }

    /** What a text of any length names. */
    fun find(text: String): List<Entity> = tagger.find(text)
}
