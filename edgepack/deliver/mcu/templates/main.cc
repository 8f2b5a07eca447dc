// $name $version on TensorFlow Lite Micro: runs the golden vectors and prints one line of JSON.
// What it needs of the board: MicroPrintf, and $arena_bytes bytes of RAM for the arena.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "$symbol.h"
#include "${symbol}_golden.h"
#include "${symbol}_resolver.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_log.h"
#include "tensorflow/lite/micro/system_setup.h"
#include "tensorflow/lite/schema/schema_generated.h"

namespace {

alignas(16) uint8_t arena[${SYMBOL}_ARENA_BYTES];

struct Binding {
  TfLiteTensor* tensor;
  const void* golden;
};

// Largest difference between an output and its golden vector, in steps of its own type.
long difference(const Binding& binding) {
  long largest = 0;
  const size_t count = binding.tensor->bytes;
  if (binding.tensor->type == kTfLiteInt8) {
    const auto* found = binding.tensor->data.int8;
    const auto* wanted = static_cast<const int8_t*>(binding.golden);
    for (size_t i = 0; i < count; ++i) {
      const long off = found[i] > wanted[i] ? found[i] - wanted[i] : wanted[i] - found[i];
      if (off > largest) largest = off;
    }
    return largest;
  }
  return std::memcmp(binding.tensor->data.raw, binding.golden, count) == 0 ? 0 : 255;
}

int run() {
  tflite::InitializeTarget();
  static_assert(${SYMBOL}_GOLDEN_COUNT > 0, "no golden vector");
  const tflite::Model* model = tflite::GetModel(${symbol}_model);
  if (model->version() != TFLITE_SCHEMA_VERSION) {
    MicroPrintf("{\"status\": \"failed\", \"reason\": \"schema version\"}");
    return 1;
  }
  static ${symbol}_resolver_t resolver;
  if (${symbol}_register(resolver) != kTfLiteOk) return 1;
  static tflite::MicroInterpreter interpreter(model, resolver, arena, sizeof(arena));
  if (interpreter.AllocateTensors() != kTfLiteOk) {
    MicroPrintf("{\"status\": \"failed\", \"reason\": \"arena of %d bytes is too small\"}",
                static_cast<int>(sizeof(arena)));
    return 1;
  }
  static const double tolerances[] = {$tolerances};
  long largest = 0;
  bool holds = true;
  for (int vector = 0; vector < ${SYMBOL}_GOLDEN_COUNT; ++vector) {
    const Binding inputs[] = {
$input_bindings
    };
    for (const Binding& input : inputs) std::memcpy(input.tensor->data.raw, input.golden, input.tensor->bytes);
    if (interpreter.Invoke() != kTfLiteOk) return 1;
    const Binding outputs[] = {
$output_bindings
    };
    for (size_t i = 0; i < sizeof(outputs) / sizeof(outputs[0]); ++i) {
      const long off = difference(outputs[i]);
      if (off > largest) largest = off;
      holds = holds && static_cast<double>(off) <= tolerances[i];
    }
    interpreter.Reset();
  }
  MicroPrintf("{\"status\": \"%s\", \"name\": \"$name\", \"version\": \"$version\", \"vectors\": %d, "
              "\"largest_difference\": %d, \"arena_bytes\": %d}",
              holds ? "passed" : "failed", ${SYMBOL}_GOLDEN_COUNT, static_cast<int>(largest),
              static_cast<int>(interpreter.arena_used_bytes()));
  return holds ? 0 : 1;
}

}  // namespace

int main() { return run(); }
