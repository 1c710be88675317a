package org.json

/** Enough of Android's own to read preprocessing.json. */
class JSONArray(private val values: List<Any?>) {
    fun length() = values.size
    fun getInt(at: Int) = (values[at] as Number).toInt()
    fun getDouble(at: Int) = (values[at] as Number).toDouble()
    fun getString(at: Int) = values[at] as String
    fun getJSONArray(at: Int) = values[at] as JSONArray
}

class JSONObject private constructor(private val values: Map<*, *>) {
    constructor(text: String) : this((Reader(text).value() as JSONObject).values)

    fun isNull(name: String) = values[name] == null
    fun getInt(name: String) = (values[name] as Number).toInt()
    fun getDouble(name: String) = (values[name] as Number).toDouble()
    fun getString(name: String) = values[name] as String
    fun getJSONObject(name: String) = values[name] as JSONObject
    fun getJSONArray(name: String) = values[name] as JSONArray
    fun optJSONArray(name: String) = values[name] as? JSONArray
    fun optBoolean(name: String) = values[name] as? Boolean ?: false

    private class Reader(private val text: String) {
        private var at = 0

        fun value(): Any? {
            skip()
            return when (text[at]) {
                '{' -> JSONObject(items('}') { (value() as String).also { skip(); at++ } to value() }.toMap())
                '[' -> JSONArray(items(']') { value() })
                '"' -> string()
                else -> word()
            }
        }

        private fun <T> items(end: Char, item: () -> T): List<T> {
            val found = mutableListOf<T>()
            at++
            skip()
            while (text[at] != end) {
                found += item()
                skip()
                if (text[at] == ',') at++
                skip()
            }
            at++
            return found
        }

        private fun string(): String {
            val made = StringBuilder()
            while (text[++at] != '"') {
                if (text[at] != '\\') made.append(text[at])
                else when (val escaped = text[++at]) {
                    'u' -> made.append(text.substring(at + 1, at + 5).toInt(16).toChar()).also { at += 4 }
                    'n' -> made.append('\n')
                    't' -> made.append('\t')
                    else -> made.append(escaped)
                }
            }
            at++
            return made.toString()
        }

        private fun word(): Any? {
            val start = at
            while (at < text.length && text[at] !in ",]} \n") at++
            return when (val found = text.substring(start, at)) {
                "true" -> true
                "false" -> false
                "null" -> null
                else -> found.toDouble()
            }
        }

        private fun skip() {
            while (text[at].isWhitespace()) at++
        }
    }
}
