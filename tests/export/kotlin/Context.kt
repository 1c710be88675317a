// What the Android examples need of Android, so that they can be compiled without it.
package android.content

import java.io.InputStream

abstract class AssetManager {
    abstract fun open(name: String): InputStream
}

abstract class Context {
    abstract val assets: AssetManager
}
