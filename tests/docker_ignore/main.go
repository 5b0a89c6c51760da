// Says which paths a .dockerignore hides from `docker build`, by the module with which BuildKit reads the file. The only
// argument is the file; reads one path a line, and writes those that are hidden.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// BuildKit walks down from the root and hands on what it found of the parent folder.
func isHidden(matcher *patternmatcher.PatternMatcher, path string) (bool, error) {
	var hidden bool
	var found patternmatcher.MatchInfo
	var err error
	parts := strings.Split(path, "/")
	for depth := range parts {
		part := strings.Join(parts[:depth+1], "/")
		if hidden, found, err = matcher.MatchesUsingParentResults(part, found); err != nil {
			return false, err
		}
	}
	return hidden, nil
}

func run(name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	patterns, err := ignorefile.ReadAll(file)
	if err != nil {
		return err
	}
	matcher, err := patternmatcher.New(patterns)
	if err != nil {
		return err
	}
	paths := bufio.NewScanner(os.Stdin)
	for paths.Scan() {
		hidden, err := isHidden(matcher, paths.Text())
		if err != nil {
			return err
		}
		if hidden {
			fmt.Println(paths.Text())
		}
	}
	return paths.Err()
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		fmt.Println("patternmatcher 0.6.1")
		return
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
