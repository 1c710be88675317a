// Where the words of a text stand, and how a long text is read: for models that find entities or answers.
// Plain Kotlin; copy it into the app beside Tokenizer.kt.
package tfvertical

private val SPACES = setOf(Character.SPACE_SEPARATOR, Character.LINE_SEPARATOR, Character.PARAGRAPH_SEPARATOR)
private val MARKS = setOf(
    Character.CONNECTOR_PUNCTUATION, Character.DASH_PUNCTUATION, Character.START_PUNCTUATION,
    Character.END_PUNCTUATION, Character.INITIAL_QUOTE_PUNCTUATION, Character.FINAL_QUOTE_PUNCTUATION,
    Character.OTHER_PUNCTUATION
)
private val UNSEEN = setOf(Character.CONTROL, Character.FORMAT, Character.PRIVATE_USE, Character.SURROGATE)
private val CHINESE = listOf(
    0x3400..0x4DBF, 0x4E00..0x9FFF, 0xF900..0xFAFF, 0x20000..0x2A6DF,
    0x2A700..0x2B73F, 0x2B740..0x2B81F, 0x2B820..0x2CEAF, 0x2F800..0x2FA1F
)

/**
 * Where each word begins and ends; a punctuation mark or a Chinese character is one by itself. What nobody sees, joiners
 * excepted, may stand inside a word, but none begins or ends with it.
 */
fun words(text: String): List<Pair<Int, Int>> {
    val found = ArrayList<Pair<Int, Int>>()
    var start = -1 // of the word that goes on
    var end = -1 // behind what is seen of it
    var at = 0
    while (at < text.length) {
        val point = text.codePointAt(at)
        val next = at + Character.charCount(point)
        val kind = Character.getType(point).toByte()
        val space = point == 9 || point == 10 || point == 13 || kind in SPACES
        val alone = CHINESE.any { point in it } ||
            (if (point < 128) point in 33..126 && !point.toChar().isLetterOrDigit() else kind in MARKS)
        val unseen = point != 0x200C && point != 0x200D &&
            (kind in UNSEEN || point == 0xFFFD || point >= 0xF0000)
        if (space || alone) {
            if (start >= 0) found.add(start to end)
            start = -1
            if (alone) found.add(at to next)
        } else if (!unseen) {
            if (start < 0) start = at
            end = next
        }
        at = next
    }
    if (start >= 0) found.add(start to end)
    return found
}

/** Part of a text that is read at once: the words first until last, of which it answers for ownFirst until ownLast. */
internal class Window(val first: Int, val last: Int, val ownFirst: Int, val ownLast: Int)

/** Whole words, at most [room] pieces at once, a quarter of them twice; a word's window has it furthest inside. */
internal fun windows(counts: List<Int>, room: Int): List<Window> {
    val before = IntArray(counts.size + 1) // pieces before each word
    counts.forEachIndexed { word, count -> before[word + 1] = before[word] + count }
    fun least(pieces: Double) = before.count { it < pieces } // the first word with so many before it
    val places = ArrayList<Pair<Int, Int>>()
    var start = 0
    while (true) {
        val end = before.count { it <= before[start] + room } - 1
        places.add(start to end)
        if (end == counts.size) break
        val again = minOf(least((before[end] - room / 4).toDouble()), least((before.last() - room).toDouble()))
        start = maxOf(start + 1, again, least((before[end + 1] - room).toDouble()))
    }
    val cuts = places.zip(places.drop(1)).map { (one, other) ->
        val middle = (before[other.first] + before[one.second]) / 2.0
        minOf(maxOf(least(middle), other.first), one.second)
    }
    val borders = listOf(0) + cuts + counts.size
    return places.mapIndexed { at, place -> Window(place.first, place.second, borders[at], borders[at + 1]) }
}
