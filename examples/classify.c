/* Runs a sealed image classifier on an all-grey picture and prints the strongest class.
 *
 *   carrel zoo resnet18 -o m.onnx && carrel keygen -o m.key && carrel seal m.onnx -o m.carrel --key m.key
 *   cc classify.c -o classify $(pkg-config --cflags --libs carrel)   (or find_package(carrel) in CMake)
 *   ./classify m.carrel m.key
 */
#include <carrel/carrel.h>
#include <stdio.h>
#include <stdlib.h>

static int fail(const char* what, const carrel_error* error) {
  fprintf(stderr, "classify: %s: %s\n", what, error->message);
  return 1;
}

static uint64_t count_of(const carrel_tensor_info* info) {
  uint64_t count = 1;
  for (uint32_t i = 0; i < info->rank; ++i) count *= (uint64_t)info->dims[i];
  return count;
}

static void allocate(const carrel_tensor_info* info, carrel_tensor* tensor) {
  tensor->rank = info->rank;
  for (uint32_t i = 0; i < info->rank; ++i) tensor->dims[i] = info->dims[i];
  tensor->count = count_of(info);
  tensor->data = calloc(tensor->count, sizeof(float));
}

int main(int argc, char** argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: classify MODEL.carrel KEY\n");
    return 2;
  }
  carrel_error error;
  uint8_t key[CARREL_KEY_BYTES];
  if (carrel_read_key(argv[2], key, &error) != CARREL_OK) return fail(argv[2], &error);
  carrel_options options = carrel_default_options();
  options.memory_bytes = 8u << 20;
  carrel_session* session = NULL;
  if (carrel_open(argv[1], key, &options, &session, &error) != CARREL_OK) return fail(argv[1], &error);

  carrel_tensor_info info;
  carrel_tensor input = {0}, output = {0};
  if (carrel_input_info(session, 0, &info) != CARREL_OK) return 1;
  allocate(&info, &input);
  for (uint64_t i = 0; i < input.count; ++i) input.data[i] = 0.5f;
  if (carrel_output_info(session, 0, &info) != CARREL_OK) return 1;
  allocate(&info, &output);

  if (carrel_run(session, &input, &output, &error) != CARREL_OK) return fail("run", &error);
  uint64_t best = 0;
  for (uint64_t i = 1; i < output.count; ++i) {
    if (output.data[i] > output.data[best]) best = i;
  }
  carrel_stats stats = {.struct_bytes = sizeof stats};
  carrel_get_stats(session, &stats);
  printf("class %lu (%.4f), trusted memory %lu bytes\n", (unsigned long)best, output.data[best],
         (unsigned long)stats.peak_trusted_bytes);
  carrel_close(session);
  free(input.data);
  free(output.data);
  return 0;
}
