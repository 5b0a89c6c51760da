// Says for payloads_by_upb.py what Go's Protobuf runtime makes of payloads: lines as of reader_verdicts.ts, after
// a first one with the descriptor set in hexadecimal.
package main

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"os"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

func main() {
	in := bufio.NewReaderSize(os.Stdin, 1<<24)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	line, _ := in.ReadString('\n')
	raw, err := hex.DecodeString(strings.TrimSpace(line))
	if err != nil {
		panic(err)
	}
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(raw, &set); err != nil {
		panic(err)
	}
	files, err := protodesc.NewFiles(&set)
	if err != nil {
		panic(err)
	}
	types := dynamicpb.NewTypes(files)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		parts := strings.Split(strings.TrimRight(line, "\n"), " ")
		desc, err := files.FindDescriptorByName(protoreflect.FullName(parts[1]))
		if err != nil {
			panic(err)
		}
		message := dynamicpb.NewMessage(desc.(protoreflect.MessageDescriptor))
		data, err := hex.DecodeString(parts[2])
		if err != nil {
			panic(err)
		}
		if parts[0] == "B" {
			err = proto.UnmarshalOptions{Resolver: types}.Unmarshal(data, message)
		} else {
			err = protojson.UnmarshalOptions{Resolver: types}.Unmarshal(data, message)
		}
		if err != nil {
			fmt.Fprintf(out, "- %s\n", strings.ReplaceAll(err.Error(), "\n", " "))
			continue
		}
		back, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
		if err != nil {
			fmt.Fprintf(out, "- %s\n", err.Error())
			continue
		}
		fmt.Fprintf(out, "+ %s\n", hex.EncodeToString(back))
	}
}
