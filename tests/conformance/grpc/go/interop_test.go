// Runs the official Go client's interoperability cases against a server that is already up:
//
//	KVD_GRPC_TARGET=127.0.0.1:PORT go test ./...
//
// The cases of google.golang.org/grpc/interop end the process when one fails; which one it was is the last line
// that says "running".
package interop

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/interop"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
)

func dial(t *testing.T, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	target := os.Getenv("KVD_GRPC_TARGET")
	if target == "" {
		t.Fatal("KVD_GRPC_TARGET is not set: HOST:PORT of the server under test")
	}
	options = append(options, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	connection, err := grpc.NewClient(target, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	return connection
}

func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestOfficialCases(t *testing.T) {
	type run func(context.Context, testpb.TestServiceClient, ...grpc.CallOption)
	cases := []struct {
		name string
		run  run
	}{
		{"empty_unary", interop.DoEmptyUnaryCall},
		{"large_unary", interop.DoLargeUnaryCall},
		{"client_streaming", interop.DoClientStreaming},
		{"server_streaming", interop.DoServerStreaming},
		{"ping_pong", interop.DoPingPong},
		{"empty_stream", interop.DoEmptyStream},
		{"timeout_on_sleeping_server", interop.DoTimeoutOnSleepingServer},
		{"cancel_after_begin", interop.DoCancelAfterBegin},
		{"cancel_after_first_response", interop.DoCancelAfterFirstResponse},
		{"status_code_and_message", interop.DoStatusCodeAndMessage},
		{"special_status_message", interop.DoSpecialStatusMessage},
		{"custom_metadata", interop.DoCustomMetadata},
	}
	for _, options := range []struct {
		name  string
		calls []grpc.CallOption
	}{{"plain", nil}, {"gzip", []grpc.CallOption{grpc.UseCompressor(gzip.Name)}}} {
		for _, c := range cases {
			t.Run(options.name+"/"+c.name, func(t *testing.T) {
				fmt.Println("running", options.name, c.name)
				c.run(bounded(t), testpb.NewTestServiceClient(dial(t)), options.calls...)
			})
		}
	}
	t.Run("unimplemented_method", func(t *testing.T) {
		fmt.Println("running unimplemented_method")
		interop.DoUnimplementedMethod(bounded(t), dial(t))
	})
	t.Run("unimplemented_service", func(t *testing.T) {
		fmt.Println("running unimplemented_service")
		interop.DoUnimplementedService(bounded(t), testpb.NewUnimplementedServiceClient(dial(t)))
	})
}

func TestThousandStreamsOnOneConnectionAnswerEach(t *testing.T) {
	const streams = 1000
	client := testpb.NewTestServiceClient(dial(t))
	ctx := bounded(t)
	open := make([]testpb.TestService_FullDuplexCallClient, streams)
	for i := range open {
		stream, err := client.FullDuplexCall(ctx)
		if err != nil {
			t.Fatal(err)
		}
		open[i] = stream
	}
	for i, stream := range open {
		request := &testpb.StreamingOutputCallRequest{
			ResponseParameters: []*testpb.ResponseParameters{{Size: int32(i)}}}
		if err := stream.Send(request); err != nil {
			t.Fatal(err)
		}
	}
	for i, stream := range open {
		response, err := stream.Recv()
		if err != nil {
			t.Fatal(i, err)
		}
		if got := len(response.Payload.Body); got != i {
			t.Fatalf("stream %d got %d bytes", i, got)
		}
		stream.CloseSend()
		if _, err := stream.Recv(); err != io.EOF {
			t.Fatal(i, err)
		}
	}
}

func TestManyCallersGetLargeMessages(t *testing.T) {
	client := testpb.NewTestServiceClient(dial(t))
	ctx := bounded(t)
	var group sync.WaitGroup
	for i := range 16 {
		group.Go(func() {
			request := &testpb.SimpleRequest{ResponseSize: 4 << 20,
				Payload: &testpb.Payload{Body: make([]byte, 4<<20-i)}}
			response, err := client.UnaryCall(ctx, request)
			if err != nil {
				t.Error(err)
			} else if got := len(response.Payload.Body); got != 4<<20 {
				t.Errorf("got %d bytes", got)
			}
		})
	}
	group.Wait()
}

func TestMessageAboveTheLimitIsRefused(t *testing.T) {
	client := testpb.NewTestServiceClient(dial(t))
	_, err := client.UnaryCall(bounded(t), &testpb.SimpleRequest{Payload: &testpb.Payload{Body: make([]byte, 9<<20)}})
	if status.Code(err) != codes.ResourceExhausted {
		t.Fatal(err)
	}
}

func TestSlowReaderHoldsUpNobody(t *testing.T) {
	client := testpb.NewTestServiceClient(dial(t))
	ctx := bounded(t)
	request := &testpb.StreamingOutputCallRequest{}
	const messages, size = 64, 1 << 20
	for range messages {
		request.ResponseParameters = append(request.ResponseParameters, &testpb.ResponseParameters{Size: size})
	}
	slow, err := client.StreamingOutputCall(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	for range 100 { // on the same connection
		if _, err := client.EmptyCall(ctx, &testpb.Empty{}); err != nil {
			t.Fatal(err)
		}
	}
	for range messages {
		response, err := slow.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if len(response.Payload.Body) != size {
			t.Fatal(len(response.Payload.Body))
		}
	}
	if _, err := slow.Recv(); err != io.EOF {
		t.Fatal(err)
	}
}

func TestHealth(t *testing.T) {
	client := healthpb.NewHealthClient(dial(t))
	ctx := bounded(t)
	for _, service := range []string{"", "grpc.testing.TestService"} {
		response, err := client.Check(ctx, &healthpb.HealthCheckRequest{Service: service})
		if err != nil || response.Status != healthpb.HealthCheckResponse_SERVING {
			t.Fatal(service, response, err)
		}
	}
	if _, err := client.Check(ctx, &healthpb.HealthCheckRequest{Service: "none"}); status.Code(err) != codes.NotFound {
		t.Fatal(err)
	}
	watch, err := client.Watch(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	response, err := watch.Recv()
	if err != nil || response.Status != healthpb.HealthCheckResponse_SERVING {
		t.Fatal(response, err)
	}
}

func TestReflectionDescribesEveryService(t *testing.T) {
	stream, err := reflectionpb.NewServerReflectionClient(dial(t)).ServerReflectionInfo(bounded(t))
	if err != nil {
		t.Fatal(err)
	}
	ask := func(request *reflectionpb.ServerReflectionRequest) *reflectionpb.ServerReflectionResponse {
		if err := stream.Send(request); err != nil {
			t.Fatal(err)
		}
		response, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return response
	}
	list := ask(&reflectionpb.ServerReflectionRequest{
		MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{ListServices: "*"}})
	var names []string
	for _, service := range list.GetListServicesResponse().Service {
		names = append(names, service.Name)
	}
	if got := strings.Join(names, " "); got != "grpc.health.v1.Health grpc.reflection.v1.ServerReflection "+
		"grpc.reflection.v1alpha.ServerReflection grpc.testing.TestService" {
		t.Fatal(got)
	}
	for _, name := range names {
		response := ask(&reflectionpb.ServerReflectionRequest{
			MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: name}})
		files := response.GetFileDescriptorResponse().GetFileDescriptorProto()
		if len(files) == 0 {
			t.Fatal(name, response)
		}
		var file descriptorpb.FileDescriptorProto
		if err := proto.Unmarshal(files[0], &file); err != nil {
			t.Fatal(err)
		}
		if got := file.GetPackage() + "." + file.Service[0].GetName(); got != name {
			t.Fatalf("asked for %s, got %s", name, got)
		}
	}
}
