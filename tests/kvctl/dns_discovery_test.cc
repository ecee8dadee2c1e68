#include "kvctl/dns_discovery.h"

#include <gtest/gtest.h>

namespace kv::kvctl {
namespace {

// A DNS answer with the question _etcd-client._tcp.x and the records given (RFC 1035, RFC 2782).
class Answer {
 public:
  explicit Answer(uint16_t records) {
    for (const uint16_t n : {uint16_t{7}, uint16_t{0x8180}, uint16_t{1}, records, uint16_t{0}, uint16_t{0}}) number(n);
    name({"_etcd-client", "_tcp", "x"});
    number(33);
    number(1);
  }
  void srv(uint16_t priority, uint16_t weight, uint16_t port, const std::vector<std::string>& host) {
    number(0xc00c);  // the question's name
    number(33);
    number(1);
    number(0);
    number(60);
    size_t length = 7;
    for (const auto& label : host) length += label.size() + 1;
    number(static_cast<uint16_t>(length));
    number(priority);
    number(weight);
    number(port);
    name(host);
  }
  std::vector<unsigned char> bytes;

 private:
  void number(uint16_t n) {
    bytes.push_back(static_cast<unsigned char>(n >> 8));
    bytes.push_back(static_cast<unsigned char>(n & 0xff));
  }
  void name(const std::vector<std::string>& labels) {
    for (const auto& label : labels) {
      bytes.push_back(static_cast<unsigned char>(label.size()));
      bytes.insert(bytes.end(), label.begin(), label.end());
    }
    bytes.push_back(0);
  }
};

TEST(DnsDiscovery, Records_come_by_priority_then_by_weight) {
  Answer answer(3);
  answer.srv(20, 1, 2379, {"c", "x"});
  answer.srv(10, 1, 22379, {"b", "x"});
  answer.srv(10, 5, 32379, {"a", "x"});
  const auto records = srv_records(answer.bytes);
  ASSERT_TRUE(records.ok()) << records.status().text();
  EXPECT_EQ(*records, (std::vector<SrvRecord>{{10, 5, 32379, "a.x"}, {10, 1, 22379, "b.x"}, {20, 1, 2379, "c.x"}}));
}

TEST(DnsDiscovery, Bytes_cut_anywhere_are_refused_and_never_read_past) {
  Answer answer(2);
  answer.srv(1, 1, 2379, {"host", "example"});
  answer.srv(1, 1, 2380, {"other", "example"});
  for (size_t size = 0; size < answer.bytes.size(); ++size) {
    const std::vector<unsigned char> cut(answer.bytes.begin(),
                                         answer.bytes.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_FALSE(srv_records(cut).ok()) << size;
  }
  EXPECT_TRUE(srv_records(answer.bytes).ok());
}

TEST(DnsDiscovery, Names_are_etcds) {
  EXPECT_EQ(srv_name(true, "", "example.com"), "_etcd-client-ssl._tcp.example.com");
  EXPECT_EQ(srv_name(false, "blue", "example.com"), "_etcd-client-blue._tcp.example.com");
}

}  // namespace
}  // namespace kv::kvctl
