// $name $version on TensorFlow Lite Micro: runs the golden vectors, then times inferences by the board's own clock, and
// writes one line, "edgepack-runner {JSON}", that edgepack reads over a serial port.
//
// What it needs of the board: $arena_bytes bytes of RAM for the arena; somewhere to write a line; a clock. Both have a
// default, and an application may define its own: edgepack_write_line, edgepack_clock_hz and edgepack_clock_ticks. Where
// main is not the entry point (ESP-IDF, Arduino), compile with EDGEPACK_NO_MAIN and call edgepack_runner, whenever a
// result is wanted.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "$symbol.h"
#include "${symbol}_golden.h"
#include "${symbol}_resolver.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_time.h"
#include "tensorflow/lite/micro/system_setup.h"
#include "tensorflow/lite/schema/schema_generated.h"

#ifndef EDGEPACK_RUNS
#define EDGEPACK_RUNS 101 /* timed inferences at most; an odd number has a middle */
#endif
#ifndef EDGEPACK_SECONDS
#define EDGEPACK_SECONDS 5 /* no further inference is timed after so many seconds */
#endif

extern "C" {
// Not MicroPrintf: release builds of tflite-micro strip it.
__attribute__((weak)) void edgepack_write_line(const char* line) {
  std::printf("%s\r\n", line);
  std::fflush(stdout);
}

__attribute__((weak)) uint32_t edgepack_clock_hz(void) { return tflite::ticks_per_second(); }

__attribute__((weak)) uint32_t edgepack_clock_ticks(void) { return tflite::GetCurrentTimeTicks(); }
}

namespace {

static_assert(${SYMBOL}_GOLDEN_COUNT > 0, "no golden vector");

alignas(16) uint8_t arena[${SYMBOL}_ARENA_BYTES];
char line[512];
uint32_t ticks[EDGEPACK_RUNS];

struct Binding {
  TfLiteTensor* tensor;
  const void* golden;
};

int fail(const char* kind, const char* message, long number = 0) {
  char text[160];
  std::snprintf(text, sizeof(text), message, number);
  std::snprintf(line, sizeof(line), "edgepack-runner {\"status\":\"failed\",\"kind\":\"%s\",\"message\":\"%s\"}", kind, text);
  edgepack_write_line(line);
  return 1;
}

// Largest difference between an output and its golden vector, in steps of its own type.
long difference(const Binding& binding) {
  const size_t count = binding.tensor->bytes;
  if (binding.tensor->type != kTfLiteInt8) {
    return std::memcmp(binding.tensor->data.raw, binding.golden, count) == 0 ? 0 : 255;
  }
  long largest = 0;
  const auto* found = binding.tensor->data.int8;
  const auto* wanted = static_cast<const int8_t*>(binding.golden);
  for (size_t i = 0; i < count; ++i) {
    largest = std::max(largest, found[i] > wanted[i] ? long(found[i]) - wanted[i] : long(wanted[i]) - found[i]);
  }
  return largest;
}

void feed(tflite::MicroInterpreter& interpreter, int vector) {
  const Binding inputs[] = {
$input_bindings
  };
  for (const Binding& input : inputs) std::memcpy(input.tensor->data.raw, input.golden, input.tensor->bytes);
}

// Largest difference over all vectors; -1 where an inference fails, -2 where an output is beyond its tolerance.
long check(tflite::MicroInterpreter& interpreter, long* largest) {
  static const double tolerances[] = {$tolerances};
  bool holds = true;
  for (int vector = 0; vector < ${SYMBOL}_GOLDEN_COUNT; ++vector) {
    feed(interpreter, vector);
    if (interpreter.Invoke() != kTfLiteOk) return -1;
    const Binding outputs[] = {
$output_bindings
    };
    for (size_t i = 0; i < sizeof(outputs) / sizeof(outputs[0]); ++i) {
      const long off = difference(outputs[i]);
      *largest = std::max(*largest, off);
      holds = holds && static_cast<double>(off) <= tolerances[i];
    }
    interpreter.Reset();  // recurrent models start every sample anew
  }
  return holds ? 0 : -2;
}

// Fills `ticks`, sorted; how many. Feeding and resetting are not timed. Differences of 32 bits survive one overflow.
int measure(tflite::MicroInterpreter& interpreter, uint32_t hz) {
  int runs = 0;
  for (uint64_t spent = 0; runs < EDGEPACK_RUNS && spent < uint64_t(EDGEPACK_SECONDS) * hz; ++runs) {
    feed(interpreter, runs % ${SYMBOL}_GOLDEN_COUNT);
    const uint32_t started = edgepack_clock_ticks();
    if (interpreter.Invoke() != kTfLiteOk) return -1;
    ticks[runs] = edgepack_clock_ticks() - started;
    spent += ticks[runs];
    interpreter.Reset();
  }
  std::sort(ticks, ticks + runs);
  return runs;
}

unsigned long microseconds(int runs, int percent, uint32_t hz) {
  return static_cast<unsigned long>(uint64_t(ticks[(runs - 1) * percent / 100]) * 1000000u / hz);
}

int tell(tflite::MicroInterpreter& interpreter, long largest, int runs, uint32_t hz) {
  std::snprintf(line, sizeof(line),
                "edgepack-runner {\"status\":\"ok\",\"runtime\":\"tflite-micro\",\"model_sha256\":\"%s\","
                "\"arena_bytes\":%lu,\"vectors\":%d,\"largest_difference\":%ld,\"clock_hz\":%lu,\"runs\":%d,"
                "\"min_us\":%lu,\"p10_us\":%lu,\"p50_us\":%lu,\"p90_us\":%lu,\"max_us\":%lu}",
                ${SYMBOL}_SHA256, static_cast<unsigned long>(interpreter.arena_used_bytes()), ${SYMBOL}_GOLDEN_COUNT,
                largest, static_cast<unsigned long>(hz), runs, microseconds(runs, 0, hz), microseconds(runs, 10, hz),
                microseconds(runs, 50, hz), microseconds(runs, 90, hz), microseconds(runs, 100, hz));
  edgepack_write_line(line);
  return 0;
}

}  // namespace

extern "C" int edgepack_runner(void) {
  tflite::InitializeTarget();
  const tflite::Model* model = tflite::GetModel(${symbol}_model);
  if (model->version() != TFLITE_SCHEMA_VERSION) return fail("model", "the model has another schema version");
  static ${symbol}_resolver_t resolver;
  static const TfLiteStatus registered = ${symbol}_register(resolver);
  if (registered != kTfLiteOk) return fail("model", "an operator could not be registered");
  static tflite::MicroInterpreter interpreter(model, resolver, arena, sizeof(arena));
  static const TfLiteStatus allocated = interpreter.AllocateTensors();
  if (allocated != kTfLiteOk) {
    return fail("memory", "the tensors could not be allocated: is the arena of %ld bytes too small?", sizeof(arena));
  }
  long largest = 0;
  const long checked = check(interpreter, &largest);
  if (checked == -1) return fail("crash", "an inference failed");
  if (checked == -2) return fail("golden", "an output is %ld steps from its golden vector", largest);
  const uint32_t hz = edgepack_clock_hz();
  if (hz == 0) return fail("request", "the golden vectors hold, but this board has no clock: see edgepack_clock_hz");
  const int runs = measure(interpreter, hz);
  return runs < 1 ? fail("crash", "an inference failed") : tell(interpreter, largest, runs, hz);
}

#ifndef EDGEPACK_NO_MAIN
int main() { return edgepack_runner(); }
#endif
