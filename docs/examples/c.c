/* The client from C: reads a counter and adds one to it, unless somebody else was faster; then again.
 *   example_c 127.0.0.1:2379 */
#include <kv/kv.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char** argv) {
  kv_options options = KV_OPTIONS_INIT;
  kv_client* client = NULL;
  kv_error error;
  int swapped = 0;
  if (argc != 2) return 2;
  options.endpoints = argv[1];
  if (kv_open(&options, &client, &error) != KV_OK) return fprintf(stderr, "%s\n", error.text), 1;

  while (!swapped) {
    kv_result* found = NULL;
    kv_pair pair = {0};
    char text[32];
    if (kv_get(client, "visits", 6, &found, &error) != KV_OK) return fprintf(stderr, "%s\n", error.text), 1;
    /* With no such key, 0 is what its mod_revision has to be: it is not there. */
    if (!kv_result_at(found, 0, &pair)) printf("nobody was here\n");
    const long visits = pair.value_size > 0 ? strtol(pair.value, NULL, 10) : 0;
    const int size = snprintf(text, sizeof text, "%ld", visits + 1);
    if (kv_compare_and_swap(client, "visits", 6, pair.mod_revision, text, (size_t)size, 0, &swapped, NULL, NULL,
                            &error) != KV_OK) {
      return fprintf(stderr, "%s\n", error.text), 1;
    }
    kv_result_free(found);
    if (swapped) printf("visits: %s\n", text);
  }
  kv_close(client);
  return 0;
}
