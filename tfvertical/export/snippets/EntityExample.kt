// Android, with Model.kt and what it names, and labels.txt in the app's assets.
package tfvertical

import android.content.Context

class EntityExample(context: Context) {
    private val model = Model(context)
    private val tags = model.lines("labels.txt")
    private val steps = model.described.optJSONArray("steps")?.let { rows ->
        (0 until rows.length()).map { rows.getJSONArray(it) }.map { row ->
            FloatArray(row.length()) { row.getDouble(it).toFloat() }
        }
    }
    private val every = model.described.getString("pieces") == "all"
    private val tagger = Tagger(model.tokenizer, tags, every, steps) { model.scores(it, tags.size) }

    /** What a text of any length names. */
    fun find(text: String): List<Entity> = tagger.find(text)
}
