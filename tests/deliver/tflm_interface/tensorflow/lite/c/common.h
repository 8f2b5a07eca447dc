// Declarations of tflite-micro that the delivered example uses, by their documented interface; nothing to link.
#pragma once
#include <cstddef>
#include <cstdint>
enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 };
enum TfLiteType { kTfLiteFloat32 = 1, kTfLiteInt8 = 9 };
union TfLitePtrUnion { char* raw; int8_t* int8; };
struct TfLiteTensor { TfLiteType type; TfLitePtrUnion data; size_t bytes; };
