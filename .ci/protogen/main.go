// Protogen generates Go code from protobuf files by the plugins protoc-gen-go and protoc-gen-go-grpc, which must be in
// the PATH. It is what protoc and buf would do, in a program that builds in seconds.
//
//	protogen <folder> <file>… [-grpc] [-descriptor=<path>]…
//
// A path gets the files' descriptor set, from which other languages make messages without generated code.
package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

func main() {
	log.SetFlags(0)
	args := os.Args[1:]
	plugins := []string{"protoc-gen-go"}
	if i := slices.Index(args, "-grpc"); i >= 0 {
		args = slices.Delete(args, i, i+1)
		plugins = append(plugins, "protoc-gen-go-grpc")
	}
	var descriptors []string
	args = slices.DeleteFunc(args, func(arg string) bool {
		path, ok := strings.CutPrefix(arg, "-descriptor=")
		if ok {
			descriptors = append(descriptors, path)
		}
		return ok
	})
	if len(args) < 2 {
		log.Fatal("usage: protogen <folder> <file>… [-grpc] [-descriptor=<path>]…")
	}
	request, err := compile(args[0], args[1:])
	if err != nil {
		log.Fatal(err)
	}
	for _, plugin := range plugins {
		if err := generate(plugin, request, args[0]); err != nil {
			log.Fatalf("%s: %v", plugin, err)
		}
	}
	if err := describe(request, descriptors); err != nil {
		log.Fatal(err)
	}
}

// describe writes what was compiled, without its comments.
func describe(request *pluginpb.CodeGeneratorRequest, paths []string) error {
	for _, file := range request.ProtoFile {
		file.SourceCodeInfo = nil
	}
	set, err := proto.MarshalOptions{Deterministic: true}.Marshal(&descriptorpb.FileDescriptorSet{File: request.ProtoFile})
	if err != nil {
		return err
	}
	for _, path := range paths {
		if err := os.WriteFile(path, set, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func compile(folder string, files []string) (*pluginpb.CodeGeneratorRequest, error) {
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{folder}}),
		SourceInfoMode: protocompile.SourceInfoStandard, // comments go into the code
	}
	compiled, err := compiler.Compile(context.Background(), files...)
	if err != nil {
		return nil, err
	}
	request := &pluginpb.CodeGeneratorRequest{FileToGenerate: files, Parameter: proto.String("paths=source_relative")}
	seen := map[string]bool{}
	for _, file := range compiled {
		add(file, seen, &request.ProtoFile)
	}
	return request, nil
}

// add puts a file behind what it imports.
func add(file protoreflect.FileDescriptor, seen map[string]bool, to *[]*descriptorpb.FileDescriptorProto) {
	if seen[file.Path()] {
		return
	}
	seen[file.Path()] = true
	for i := range file.Imports().Len() {
		add(file.Imports().Get(i).FileDescriptor, seen, to)
	}
	*to = append(*to, protoutil.ProtoFromFileDescriptor(file))
}

func generate(plugin string, request *pluginpb.CodeGeneratorRequest, folder string) error {
	input, err := proto.Marshal(request)
	if err != nil {
		return err
	}
	cmd := exec.Command(plugin)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), os.Stderr
	output, err := cmd.Output()
	if err != nil {
		return err
	}
	var response pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(output, &response); err != nil {
		return err
	}
	if response.Error != nil {
		return fmt.Errorf("%s", response.GetError())
	}
	for _, file := range response.File {
		if err := os.WriteFile(filepath.Join(folder, file.GetName()), []byte(file.GetContent()), 0o644); err != nil {
			return err
		}
	}
	return nil
}
