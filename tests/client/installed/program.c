#include <kv/kv.h>
#include <stdio.h>

int main(void) {
  kv_options options = KV_OPTIONS_INIT;
  kv_client* client = NULL;
  options.endpoints = "127.0.0.1:1";
  options.dial_timeout_ms = 200;
  if (kv_open(&options, &client, NULL) != KV_OK) return 1;
  puts(kv_code_name(kv_put(client, "k", 1, "v", 1, 0, NULL, NULL)));
  kv_close(client);
  return 0;
}
