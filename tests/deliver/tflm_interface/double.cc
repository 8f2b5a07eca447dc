// Stands in for tflite-micro where its sources are not at hand: an "interpreter" that answers what the golden vectors say.
// BEHAVE=wrong: one output is 5 steps off; BEHAVE=small: the arena is too small; BEHAVE=timeless: there is no clock.
#include <cstdlib>
#include <cstring>

#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_time.h"
#include "tensorflow/lite/micro/system_setup.h"
#include "tensorflow/lite/schema/schema_generated.h"
#include "tiny_model.h"
#include "tiny_model_golden.h"

namespace {
int8_t in[TINY_MODEL_INPUT_0_ELEMENTS], out[TINY_MODEL_OUTPUT_0_ELEMENTS];
TfLiteTensor input_tensor, output_tensor;
uint32_t now = 0xFFFFFF00;  // soon runs over

bool behaves(const char* how) {
  const char* told = std::getenv("BEHAVE");
  return told != nullptr && std::strcmp(told, how) == 0;
}

TfLiteTensor tensor(int8_t* data, size_t bytes) {
  TfLiteTensor made;
  made.type = kTfLiteInt8;
  made.data.int8 = data;
  made.bytes = bytes;
  return made;
}
}  // namespace

namespace tflite {
const Model* GetModel(const void* buffer) { return static_cast<const Model*>(buffer); }
uint32_t Model::version() const { return 3; }
void InitializeTarget() {}
uint32_t ticks_per_second() { return behaves("timeless") ? 0 : 64000000; }
uint32_t GetCurrentTimeTicks() { return now; }

MicroInterpreter::MicroInterpreter(const Model*, const MicroOpResolver&, uint8_t*, size_t) {
  input_tensor = tensor(in, sizeof(in));
  output_tensor = tensor(out, sizeof(out));
}
TfLiteStatus MicroInterpreter::AllocateTensors() { return behaves("small") ? kTfLiteError : kTfLiteOk; }
TfLiteTensor* MicroInterpreter::input(size_t) { return &input_tensor; }
TfLiteTensor* MicroInterpreter::output(size_t) { return &output_tensor; }
TfLiteStatus MicroInterpreter::Reset() { return kTfLiteOk; }
size_t MicroInterpreter::arena_used_bytes() const { return 1504; }

TfLiteStatus MicroInterpreter::Invoke() {
  static uint32_t calls = 0;
  now += 64000 + 64 * (++calls % 7);  // a millisecond and some microseconds
  for (int vector = 0; vector < TINY_MODEL_GOLDEN_COUNT; ++vector) {
    if (std::memcmp(in, tiny_model_golden_input_0[vector], sizeof(in)) != 0) continue;
    std::memcpy(out, tiny_model_golden_output_0[vector], sizeof(out));
    if (behaves("wrong")) out[3] = static_cast<int8_t>(out[3] > 0 ? out[3] - 5 : out[3] + 5);
    return kTfLiteOk;
  }
  return kTfLiteError;
}
}  // namespace tflite
