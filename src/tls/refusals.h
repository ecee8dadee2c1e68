// What is logged of handshakes that failed. Anybody can make one fail, so not more than ten lines in ten seconds.
#pragma once

#include <string>
#include <string_view>

namespace kv::tls {

// `whose`: "client" or "peer". Any thread.
void log_refused(std::string_view whose, const std::string& address, const std::string& why);

}  // namespace kv::tls
