/* $name $version for TensorFlow Lite Micro. SHA-256 of the model: $sha256 */
#ifndef ${SYMBOL}_H_
#define ${SYMBOL}_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ${SYMBOL}_VERSION "$version"
#define ${SYMBOL}_SHA256 "$sha256"
#define ${SYMBOL}_BYTES $bytes

/* The tensors that live at the same time need $activation_bytes bytes, the interpreter itself about $persistent_bytes;
 * scratch buffers of optimized kernels come on top. Measure with RecordingMicroInterpreter on your board. */
#define ${SYMBOL}_ARENA_BYTES $arena_bytes

$contract

/* The .tflite, 16-byte aligned. Defined by src/$symbol.c or, compiled a hundred times faster, by src/$symbol.S. */
extern const unsigned char ${symbol}_model[];
extern const size_t ${symbol}_model_len;

#ifdef __cplusplus
}
#endif
#endif
