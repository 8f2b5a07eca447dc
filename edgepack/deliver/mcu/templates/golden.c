/* Golden vectors of $name $version, as the model stores them; order: $listed. */
#include "${symbol}_golden.h"

$golden_defined
