/* The operators of $name $version, and no others: what is not registered is not linked. */
#ifndef ${SYMBOL}_RESOLVER_H_
#define ${SYMBOL}_RESOLVER_H_

#include "tensorflow/lite/c/common.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"

using ${symbol}_resolver_t = tflite::MicroMutableOpResolver<$operators>;

inline TfLiteStatus ${symbol}_register(${symbol}_resolver_t& resolver) {
$registered
  return kTfLiteOk;
}

#endif
