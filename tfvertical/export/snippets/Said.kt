// What a model's scores say: the best label, the labels that apply, or numbers. Plain Kotlin.
package tfvertical

/** A number in its own unit; [low] and [high] are null where the model gives no bounds. */
data class Quantity(val label: String, val value: Float, val unit: String, val low: Float?, val high: Float?)

/** The best of [labels] and its score; of equal ones the first. */
fun best(labels: List<String>, scores: FloatArray): Pair<String, Float> {
    val best = scores.indices.reduce { most, at -> if (scores[at] > scores[most]) at else most }
    return labels[best] to scores[best]
}

/** The labels that apply, the likeliest first; [thresholds] stand in preprocessing.json, in `codec`. */
fun applying(labels: List<String>, thresholds: FloatArray, scores: FloatArray): List<String> =
    scores.indices.filter { scores[it] >= thresholds[it] }.sortedByDescending { scores[it] }.map { labels[it] }

/** The numbers of one item; the arguments stand in preprocessing.json, in `codec`: [bounds] is whether `interval` does. */
fun quantities(
    names: List<String>, units: List<String>, bounds: Boolean, levels: FloatArray, scores: FloatArray
): List<Quantity> {
    fun unit(at: Int) = units.getOrElse(at) { "" }
    if (levels.isNotEmpty()) {
        fun level(least: Double) = levels[scores.count { it > least }]
        return listOf(Quantity(names[0], level(0.5), unit(0), level(0.95), level(0.05)))
    }
    return names.indices.map { at ->
        if (bounds) Quantity(names[at], scores[3 * at + 1], unit(at), scores[3 * at], scores[3 * at + 2])
        else Quantity(names[at], scores[at], unit(at), null, null)
    }
}
