/* Golden vectors of $name $version: inputs, and the outputs that reference kernels give. Synthetic, no user data. */
#ifndef ${SYMBOL}_GOLDEN_H_
#define ${SYMBOL}_GOLDEN_H_

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ${SYMBOL}_GOLDEN_COUNT $golden_count

$golden_declared

#ifdef __cplusplus
}
#endif
#endif
