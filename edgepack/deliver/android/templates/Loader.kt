// $name $version. Loads the model from assets or from a file, and lets it answer only after three checks: the SHA-256 of
// the file, the input contract, and the golden vectors on this very device.
package $namespace

import android.content.Context
import java.io.File
import java.io.FileInputStream
import java.io.IOException
import java.io.InputStream
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.MappedByteBuffer
import java.nio.channels.FileChannel
import java.security.MessageDigest
import kotlin.math.abs
import org.json.JSONArray
import org.json.JSONObject
import org.tensorflow.lite.DataType
import org.tensorflow.lite.Interpreter
import org.tensorflow.lite.Tensor

/** The model is not the one that was released, or this device does not compute it as it should. */
class ${Type}ModelException(message: String) : IOException(message)

class ${Type}Model private constructor(val interpreter: Interpreter, val contract: JSONObject) : AutoCloseable {

    override fun close() = interpreter.close()

    companion object {
        const val VERSION = "$version"
        const val MODEL_SHA256 = "$sha256"
        const val CONTRACT_SHA256 = "$contract_sha256"

        /** From the app's assets, or those of an install-time AI pack; they must not be compressed, see the README. */
        @JvmStatic
        @JvmOverloads
        fun fromAssets(context: Context, options: Interpreter.Options = Interpreter.Options()): ${Type}Model {
            val model = context.assets.openFd("$stem.tflite").use { asset ->
                FileInputStream(asset.fileDescriptor).use {
                    it.channel.map(FileChannel.MapMode.READ_ONLY, asset.startOffset, asset.declaredLength)
                }
            }
            return checked(model, { name -> context.assets.open(name) }, options)
        }

        /** From a folder: a fast-follow or on-demand AI pack, or a download of your own. */
        @JvmStatic
        @JvmOverloads
        fun fromFolder(folder: File, options: Interpreter.Options = Interpreter.Options()): ${Type}Model {
            val model = FileInputStream(File(folder, "$stem.tflite")).use {
                it.channel.map(FileChannel.MapMode.READ_ONLY, 0, it.channel.size())
            }
            return checked(model, { name -> FileInputStream(File(folder, name)) }, options)
        }

        private fun checked(
            model: MappedByteBuffer,
            open: (String) -> InputStream,
            options: Interpreter.Options,
        ): ${Type}Model {
            require("$stem.tflite", sha256(model), MODEL_SHA256)
            val text = open("$stem.json").use { it.readBytes() }
            require("$stem.json", sha256(ByteBuffer.wrap(text)), CONTRACT_SHA256)
            val contract = JSONObject(String(text, Charsets.UTF_8))
            val golden = contract.getJSONObject("golden")
            val vectors = open(golden.getString("file")).use { it.readBytes() }
            require(golden.getString("file"), sha256(ByteBuffer.wrap(vectors)), golden.getString("sha256"))
            val interpreter = Interpreter(model, options)
            try {
                interpreter.allocateTensors()
                checkTensors("input", contract.getJSONArray("inputs"), interpreter.inputTensorCount) {
                    interpreter.getInputTensor(it)
                }
                checkTensors("output", contract.getJSONArray("outputs"), interpreter.outputTensorCount) {
                    interpreter.getOutputTensor(it)
                }
                checkGolden(interpreter, contract, vectors)
            } catch (error: Exception) {
                interpreter.close()
                throw error
            }
            return ${Type}Model(interpreter, contract)
        }

        private fun require(name: String, found: String, wanted: String) {
            if (found != wanted) throw ${Type}ModelException("$$name is not the released file: SHA-256 $$found")
        }

        private fun sha256(data: ByteBuffer): String {
            val digest = MessageDigest.getInstance("SHA-256")
            digest.update(data.duplicate())
            return digest.digest().joinToString("") { "%02x".format(it) }
        }

        private fun checkTensors(role: String, wanted: JSONArray, count: Int, tensor: (Int) -> Tensor) {
            if (count != wanted.length()) throw ${Type}ModelException("$$count $${role}s; expected $${wanted.length()}")
            for (index in 0 until count) {
                val found = tensor(index)
                val expected = wanted.getJSONObject(index)
                val type = expected.getString("dtype")
                val shape = expected.getJSONArray("shape")
                val same = found.dataType() == typeOf(type) && found.shape().size == shape.length() &&
                    found.shape().indices.all { shape.isNull(it) || shape.getInt(it) == found.shape()[it] }
                if (!same) {
                    throw ${Type}ModelException(
                        "$$role $$index is $${found.dataType()} $${found.shape().contentToString()}; expected $$type $$shape",
                    )
                }
            }
        }

        private fun typeOf(name: String): DataType = when (name) {
            "float32" -> DataType.FLOAT32
            "int32" -> DataType.INT32
            "int64" -> DataType.INT64
            "int16" -> DataType.INT16
            "int8" -> DataType.INT8
            "uint8" -> DataType.UINT8
            "bool" -> DataType.BOOL
            else -> throw ${Type}ModelException("the contract has a type that is unknown here: $$name")
        }

        private fun checkGolden(interpreter: Interpreter, contract: JSONObject, vectors: ByteArray) {
            val table = contract.getJSONObject("golden")
            val tensors = table.getJSONArray("tensors")
            val arrays = (0 until tensors.length()).map { tensors.getJSONObject(it) }
            val count = arrays.first().getJSONArray("shape").getInt(0)
            val inputs = named(contract.getJSONArray("inputs"), arrays.filter { it.getString("role") == "input" })
            val outputs = named(contract.getJSONArray("outputs"), arrays.filter { it.getString("role") == "output" })
            val checks = table.getJSONArray("checks")
            val tolerances = (0 until checks.length()).map { checks.getJSONObject(it) }
                .associate { it.getString("name") to it.getDouble("tolerance") }
            for (vector in 0 until count) {
                interpreter.resetVariableTensors()
                val found = outputs.map {
                    ByteBuffer.allocateDirect(it.getInt("bytes") / count).order(ByteOrder.nativeOrder())
                }
                val given = inputs.map { slice(vectors, it, vector, count) }.toTypedArray<Any>()
                val into = HashMap<Int, Any>()
                found.forEachIndexed { index, buffer -> into[index] = buffer }
                interpreter.runForMultipleInputsOutputs(given, into)
                outputs.forEachIndexed { index, output ->
                    val wanted = slice(vectors, output, vector, count)
                    val difference = difference(output.getString("dtype"), found[index], wanted)
                    val allowed = tolerances[output.getString("name")] ?: 2.0
                    if (difference > allowed) {
                        throw ${Type}ModelException(
                            "output $${output.getString("name")} is off by $$difference on golden vector $$vector; " +
                                "$$allowed is tolerated. This device does not compute the model as it should.",
                        )
                    }
                }
            }
        }

        /** Golden arrays in the order of the model's tensors. */
        private fun named(tensors: JSONArray, arrays: List<JSONObject>): List<JSONObject> =
            (0 until tensors.length()).map { index ->
                val name = tensors.getJSONObject(index).getString("name")
                arrays.first { it.getString("name") == name }
            }

        private fun slice(vectors: ByteArray, array: JSONObject, vector: Int, count: Int): ByteBuffer {
            val size = array.getInt("bytes") / count
            val buffer = ByteBuffer.allocateDirect(size).order(ByteOrder.LITTLE_ENDIAN)
            buffer.put(vectors, array.getInt("offset") + vector * size, size)
            buffer.rewind()
            return buffer.order(ByteOrder.nativeOrder())
        }

        /** Largest difference: steps of an integer type, or absolute for floats. */
        private fun difference(type: String, found: ByteBuffer, wanted: ByteBuffer): Double {
            found.rewind()
            var largest = 0.0
            while (found.hasRemaining()) {
                val off = when (type) {
                    "int8" -> abs(found.get() - wanted.get()).toDouble()
                    "uint8", "bool" -> abs((found.get().toInt() and 255) - (wanted.get().toInt() and 255)).toDouble()
                    "int16" -> abs(found.short - wanted.short).toDouble()
                    "int32" -> abs(found.int.toLong() - wanted.int.toLong()).toDouble()
                    "int64" -> if (found.long == wanted.long) 0.0 else Double.MAX_VALUE
                    else -> {
                        val off = abs(found.float - wanted.float).toDouble()
                        if (off.isNaN()) Double.MAX_VALUE else off
                    }
                }
                if (off > largest) largest = off
            }
            return largest
        }
    }
}
