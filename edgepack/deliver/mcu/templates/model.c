/* $name $version, SHA-256 $sha256. The same bytes as $symbol.tflite. */
#include "$symbol.h"

#if defined(__GNUC__)
__attribute__((aligned(16)))
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
_Alignas(16)
#endif
const unsigned char ${symbol}_model[${SYMBOL}_BYTES] = {
$array
};

const size_t ${symbol}_model_len = ${SYMBOL}_BYTES;
