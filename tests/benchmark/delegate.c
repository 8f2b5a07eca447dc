// An external delegate for tests: takes no ops, or refuses to be made when told "refuse".
// The layout is that of TfLiteDelegate in tensorflow/lite/core/c/common.h.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct Delegate {
  void* data;
  int (*prepare)(void* context, struct Delegate* delegate);
  void* copy_from;
  void* copy_to;
  void* free_handle;
  int64_t flags;
  void* opaque;
} Delegate;

static int prepare(void* context, Delegate* delegate) { return 0; }

Delegate* tflite_plugin_create_delegate(char** keys, char** values, size_t count, void (*report)(const char*)) {
  for (size_t i = 0; i < count; ++i) {
    if (strcmp(keys[i], "refuse") == 0) {
      report(values[i]);
      return NULL;
    }
  }
  Delegate* made = calloc(1, sizeof(Delegate));
  made->prepare = prepare;
  return made;
}

void tflite_plugin_destroy_delegate(Delegate* delegate) { free(delegate); }
