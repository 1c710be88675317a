package org.json

open class JSONArray {
    open fun length(): Int = throw NotImplementedError()
    open fun getInt(at: Int): Int = throw NotImplementedError("$at")
    open fun getDouble(at: Int): Double = throw NotImplementedError("$at")
    open fun getJSONArray(at: Int): JSONArray = throw NotImplementedError("$at")
}

open class JSONObject(val text: String) {
    open fun isNull(name: String): Boolean = throw NotImplementedError(name)
    open fun getInt(name: String): Int = throw NotImplementedError(name)
    open fun getDouble(name: String): Double = throw NotImplementedError(name)
    open fun getString(name: String): String = throw NotImplementedError(name)
    open fun getJSONObject(name: String): JSONObject = throw NotImplementedError(name)
    open fun getJSONArray(name: String): JSONArray = throw NotImplementedError(name)
    open fun optJSONArray(name: String): JSONArray? = throw NotImplementedError(name)
}
