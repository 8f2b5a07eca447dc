#pragma once
#define TFLITE_SCHEMA_VERSION (3)
namespace tflite { struct Model; const Model* GetModel(const void* buffer); }
