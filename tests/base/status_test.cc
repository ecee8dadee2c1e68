#include "base/status.h"

#include <gtest/gtest.h>

#include <memory>

namespace kv {
namespace {

TEST(Status, Ok_has_no_text_and_is_the_default) {
  const Status status;
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(status.code(), Code::kOk);
  EXPECT_EQ(status.text(), "");
  EXPECT_EQ(status.to_string(), "OK");
  EXPECT_EQ(status, Status::ok_status());
}

TEST(Status, An_error_says_its_code_and_its_text) {
  const Status status(Code::kNotFound, "etcdserver: member not found");
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(status.to_string(), "NotFound: etcdserver: member not found");
  EXPECT_NE(status, Status(Code::kInternal, "etcdserver: member not found"));
  EXPECT_NE(status, Status(Code::kNotFound, "etcdserver: member"));
}

// The numbers go over the wire as grpc-status.
TEST(Status, Codes_have_grpcs_numbers_and_names) {
  const std::pair<int, const char*> expected[] = {{0, "OK"},
                                                  {1, "Canceled"},
                                                  {2, "Unknown"},
                                                  {3, "InvalidArgument"},
                                                  {4, "DeadlineExceeded"},
                                                  {5, "NotFound"},
                                                  {6, "AlreadyExists"},
                                                  {7, "PermissionDenied"},
                                                  {8, "ResourceExhausted"},
                                                  {9, "FailedPrecondition"},
                                                  {10, "Aborted"},
                                                  {11, "OutOfRange"},
                                                  {12, "Unimplemented"},
                                                  {13, "Internal"},
                                                  {14, "Unavailable"},
                                                  {15, "DataLoss"},
                                                  {16, "Unauthenticated"}};
  for (const auto& [number, name] : expected) EXPECT_EQ(code_name(static_cast<Code>(number)), name);
  EXPECT_EQ(static_cast<int>(Code::kOutOfRange), 11);
  EXPECT_EQ(static_cast<int>(Code::kUnauthenticated), 16);
  EXPECT_EQ(code_name(static_cast<Code>(200)), "Unknown");
}

TEST(Result, Holds_a_value_or_says_why_there_is_none) {
  Result<int> value = 7;
  EXPECT_TRUE(value.ok());
  EXPECT_TRUE(value.status().ok());
  EXPECT_EQ(*value, 7);

  const Result<int> error = Status(Code::kDataLoss, "torn");
  EXPECT_FALSE(error.ok());
  EXPECT_EQ(error.status(), Status(Code::kDataLoss, "torn"));
}

TEST(Result, Gives_its_value_away) {
  Result<std::unique_ptr<int>> result = std::make_unique<int>(3);
  const std::unique_ptr<int> taken = *std::move(result);
  EXPECT_EQ(*taken, 3);
}

TEST(ResultDeathTest, Taking_the_value_of_an_error_stops_the_process_with_its_text) {
  const Result<int> error = Status(Code::kUnavailable, "no leader");
  EXPECT_DEATH(static_cast<void>(error.value()), "check failed.*Unavailable: no leader");
}

TEST(ResultDeathTest, An_ok_status_is_no_result) {
  EXPECT_DEATH(static_cast<void>(Result<int>(Status())), "a Result without a value needs an error");
}

Status twice(const Status& first, int* reached) {
  KV_RETURN_IF_ERROR(first);
  ++*reached;
  return Status(Code::kAborted, "second");
}

TEST(Status, Return_if_error_passes_errors_on_and_lets_ok_through) {
  int reached = 0;
  EXPECT_EQ(twice(Status(Code::kCanceled, "first"), &reached).text(), "first");
  EXPECT_EQ(reached, 0);
  EXPECT_EQ(twice(Status(), &reached).text(), "second");
  EXPECT_EQ(reached, 1);
}

TEST(CheckDeathTest, Says_place_condition_and_reason) {
  EXPECT_DEATH(KV_CHECK(1 + 1 == 3, "arithmetic " + std::to_string(3)),
               "status_test.cc:[0-9]+: check failed: 1 \\+ 1 == 3: arithmetic 3");
}

TEST(Check, Makes_its_reason_only_when_it_fails) {
  int made = 0;
  const auto reason = [&made] {
    ++made;
    return std::string("never");
  };
  KV_CHECK(made == 0, reason());
  EXPECT_EQ(made, 0);
}

}  // namespace
}  // namespace kv
