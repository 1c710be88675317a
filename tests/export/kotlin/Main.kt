// What the tests ask of the Kotlin sources: Main WHAT FOLDER LENGTHS LINES [MORE...], the lines hexadecimal UTF-8.
import android.content.AssetManager
import android.content.Context
import java.io.File
import org.tensorflow.lite.Interpreter
import tfvertical.Answerer
import tfvertical.Export
import tfvertical.Normalizer
import tfvertical.PairExample
import tfvertical.Pixels
import tfvertical.Tagger
import tfvertical.TextExample
import tfvertical.Tokenizer

fun texts(line: String): List<String> = line.split(" ").map { hex ->
    String(hex.chunked(2).filter { it.isNotEmpty() }.map { it.toInt(16).toByte() }.toByteArray(), Charsets.UTF_8)
}

/** In the place of a model: numbers that depend on a piece and on the one behind it. */
fun drawn(made: Map<String, IntArray>, outputs: Int): Array<DoubleArray> {
    val ids = made.getValue("token_ids")
    return Array(ids.size) { at ->
        val both = ids[at] * 7919 + ids[(at + 1) % ids.size] * 104729
        DoubleArray(outputs) { 1.0 + (both + it * 1299709) % 10007 }
    }
}

/** An app whose assets are the files of a folder. */
class App(folder: File) : Context() {
    override val assets = object : AssetManager() {
        override fun open(name: String) = File(folder, name).inputStream()
    }
}

fun main(arguments: Array<String>) {
    val (what, path, lengths, lines) = arguments
    val folder = File(path)
    if (what == "pixels") { // CROP MARGIN RESAMPLE in MORE, ROWS,COLUMNS for LENGTHS, WIDTH,HEIGHT and bytes a line
        val (rows, columns) = lengths.split(",").map { it.toInt() }
        val pixels = Pixels(rows, columns, arguments[4], arguments[5].toInt(), arguments[6])
        for (line in File(lines).readLines()) {
            val (size, hex) = line.split(" ")
            val (width, height) = size.split(",").map { it.toInt() }
            val picture = hex.chunked(2).map { it.toInt(16).toByte() }.toByteArray()
            println(pixels.prepare(picture, width, height).joinToString(" ") { (it.toInt() and 255).toString() })
        }
        return
    }
    val vocabulary = File(folder, "vocab.txt").readText().removeSuffix("\n").split("\n")
    val normalizer = Normalizer(File(folder, "normalizer.bin").readBytes())
    val tokenizer = Tokenizer(vocabulary, normalizer, lengths.split(",").map { it.toInt() })
    for (line in File(lines).readLines()) {
        val (first, second) = texts(line).let { it[0] to it.getOrElse(1) { "" } }
        fun place(text: String, at: Int) = text.codePointCount(0, at)
        when (what) {
            "text" -> println(tokenizer.inputs(first).getValue("token_ids").joinToString(" "))
            "windows" -> println(tokenizer.inputsInWindows(first).joinToString(";") {
                it.getValue("token_ids").joinToString(" ")
            })
            "said" -> { // label, labels or numbers, and text or pair in MORE
                Interpreter.scores = { ids, outputs ->
                    val rows = drawn(mapOf("token_ids" to ids), outputs)
                    FloatArray(outputs) { at -> (rows.map { it[at] }.sum() % 10007 / 10007).toFloat() }
                }
                val app = App(folder)
                val export = Export(app)
                val scores = if (arguments[5] == "pair") PairExample(app).scores(first, second)
                else TextExample(app).scores(first)
                println(when (arguments[4]) {
                    "label" -> export.label(scores).let { (label, score) -> "$label $score" }
                    "labels" -> export.labels(scores).joinToString(" ")
                    else -> export.numbers(scores).joinToString(" ") {
                        "${it.label} ${it.unit} ${it.value} ${it.low} ${it.high}"
                    }
                })
            }
            "pair" -> println(tokenizer.inputs(first, second).let {
                it.getValue("token_ids").joinToString(" ") + ";" + it.getValue("segment_ids").joinToString(" ")
            })
            "apart" -> println(tokenizer.inputsApart(first, second).let {
                it.getValue("first_token_ids").joinToString(" ") + ";" +
                    it.getValue("second_token_ids").joinToString(" ")
            })
            "entities" -> {
                val tags = File(folder, "labels.txt").readText().removeSuffix("\n").split("\n")
                val rows = arguments.drop(5).map { row -> row.split(",").map { it.toFloat() }.toFloatArray() }
                val steps = if (rows.isEmpty()) null else rows
                val tagger = Tagger(tokenizer, tags, arguments[4] == "all", steps) { made ->
                    drawn(made, tags.size).map { row ->
                        FloatArray(row.size) { (row[it] / row.sum()).toFloat() }
                    }.toTypedArray()
                }
                println(tagger.find(first).joinToString(";") {
                    "${place(first, it.start)} ${place(first, it.end)} ${it.label} ${it.score}"
                })
            }
            "answers" -> {
                val threshold = if (arguments[6] == "null") null else arguments[6].toDouble()
                val answerer = Answerer(tokenizer, arguments[4].toInt(), arguments[5].toInt(), threshold) { made ->
                    drawn(made, 2).map { row -> FloatArray(2) { (row[it] / 1000 - 5).toFloat() } }.toTypedArray()
                }
                val told = answerer.answer(first, second)
                println("${place(second, told.start)} ${place(second, told.end)} ${told.score}")
            }
        }
    }
}
