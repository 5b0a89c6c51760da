// Checks trees, proofs and checkpoints by golang.org/x/mod, and a served tree by transparency-dev/tessera: for tests
// that hold our transparency logs to what others have written. Not ours to ship.
//
//	proof_tool check          reads lines of JSON, each a claim, and says how many of them are right
//	proof_tool read URL VKEY  reads the tree there by its checkpoint and tiles, and says size and root
//	proof_tool proofs URL VKEY  checks claims over the tree there, a line each, as rust/src/main.rs says, by both:
//	                          tessera's client makes the same proof of the same tiles
//	proof_tool fsck URL VKEY  reads it by tessera's fsck, over entries and tiles
//	proof_tool note VKEY…     reads a note, and says whether each of the keys has signed it
//	proof_tool cosigned VKEY  the same of a witness, by transparency-dev's cosignatures
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"strings"

	cosigned "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/formats/proof"
	merkle "github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type claim struct {
	Kind  string   // "root", "inclusion", "consistency", "checkpoint", "proof"
	Size  int64    // of the tree
	Other int64    // index, or size of the older tree
	Root  []byte   //
	Old   []byte   // hash of the leaf, or root of the older tree
	Proof [][]byte //
	Note  string   //
	Vkey  string   //
}

func hashOf(bytes []byte) (hash tlog.Hash) {
	copy(hash[:], bytes)
	return hash
}

// The tree of the entries 0, 1, 2 … as text.
type tree []tlog.Hash

func (t tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		hashes[i] = t[at]
	}
	return hashes, nil
}

func (t *tree) grow(from, to int64) {
	for n := from; n < to; n++ {
		hashes, err := tlog.StoredHashes(n, []byte(fmt.Sprint(n)), *t)
		if err != nil {
			log.Fatal(err)
		}
		*t = append(*t, hashes...)
	}
}

func right(c claim, stored *tree, known *int64) error {
	if *known < c.Size && c.Note == "" {
		stored.grow(*known, c.Size)
		*known = c.Size
	}
	var path []tlog.Hash
	for _, hash := range c.Proof {
		path = append(path, hashOf(hash))
	}
	switch c.Kind {
	case "root":
		want, err := tlog.TreeHash(c.Size, *stored)
		if err == nil && want != hashOf(c.Root) {
			err = fmt.Errorf("another root")
		}
		return err
	case "inclusion":
		return tlog.CheckRecord(path, c.Size, hashOf(c.Root), c.Other, hashOf(c.Old))
	case "consistency":
		return tlog.CheckTree(path, c.Size, hashOf(c.Root), c.Other, hashOf(c.Old))
	case "checkpoint":
		verifier, err := note.NewVerifier(c.Vkey)
		if err != nil {
			return err
		}
		_, err = note.Open([]byte(c.Note), note.VerifierList(verifier))
		return err
	case "proof":
		verifier, err := note.NewVerifier(c.Vkey)
		if err != nil {
			return err
		}
		var parsed proof.TLogProof
		if err := parsed.Unmarshal([]byte(c.Note)); err != nil {
			return err
		}
		opened, err := note.Open(parsed.Checkpoint, note.VerifierList(verifier))
		if err != nil {
			return err
		}
		head, _, err := headOf(opened.Text)
		if err != nil {
			return err
		}
		for _, hash := range parsed.Hashes {
			path = append(path, tlog.Hash(hash))
		}
		index := int64(parsed.Index)
		return tlog.CheckRecord(path, head.N, head.Hash, index, tlog.RecordHash([]byte(fmt.Sprint(index))))
	}
	return fmt.Errorf("no claim: %s", c.Kind)
}

func check() {
	var stored tree
	var known int64
	var good, wrong int
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var c claim
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			log.Fatal(err)
		}
		if err := right(c, &stored, &known); err != nil {
			wrong++
		} else {
			good++
		}
	}
	fmt.Printf("{\"good\":%d,\"wrong\":%d}\n", good, wrong)
}

func get(address string) ([]byte, error) {
	answer, err := http.Get(address)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != 200 {
		return nil, fmt.Errorf("%s: %s", address, answer.Status)
	}
	return io.ReadAll(answer.Body)
}

// Reads tiles as C2SP names them, each once; golang.org has their height in the path, too.
type served struct {
	prefix string
	known  map[string][]byte
}

func (served) Height() int                     { return 8 }
func (served) SaveTiles([]tlog.Tile, [][]byte) {}
func (s served) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		if s.known[path] == nil {
			bytes, err := get(s.prefix + "/" + path)
			if err != nil {
				return nil, err
			}
			s.known[path] = bytes
		}
		all = append(all, s.known[path])
	}
	return all, nil
}

// Opens the tree there: what it reads is checked against the root that is signed.
func open(prefix, vkey string) (head tlog.Tree, root string, reader tlog.HashReader, err error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return
	}
	signed, err := get(prefix + "/checkpoint")
	if err != nil {
		return
	}
	opened, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return
	}
	head, root, err = headOf(opened.Text)
	return head, root, tlog.TileHashReader(head, served{prefix, map[string][]byte{}}), err
}

func headOf(text string) (head tlog.Tree, root string, err error) {
	lines := strings.Split(text, "\n")
	if len(lines) < 3 {
		return head, "", fmt.Errorf("no checkpoint")
	}
	fmt.Sscan(lines[1], &head.N)
	bytes, err := base64.StdEncoding.DecodeString(lines[2])
	head.Hash = hashOf(bytes)
	return head, lines[2], err
}

func read(prefix, vkey string) error {
	head, root, reader, err := open(prefix, vkey)
	if err != nil {
		return err
	}
	for at := int64(0); at < head.N; at++ {
		// It checks the tiles against the root; each leaf is looked at.
		if _, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, at)}); err != nil {
			return err
		}
	}
	fmt.Printf("{\"size\":%d,\"root\":\"%s\"}\n", head.N, root)
	return nil
}

// Tiles as tessera's client asks for them: each is read once, as wide as a tree of this size has it.
func tiles(prefix string, size uint64) (client.TileFetcherFunc, error) {
	root, err := url.Parse(prefix + "/")
	if err != nil {
		return nil, err
	}
	fetcher, err := client.NewHTTPFetcher(root, nil)
	known := map[string][]byte{}
	return func(ctx context.Context, level, index uint64, partial uint8) ([]byte, error) {
		name := fmt.Sprint(level, " ", index)
		if known[name] == nil {
			tile, err := fetcher.ReadTile(ctx, level, index, layout.PartialTileSize(level, index, size))
			if err != nil {
				return nil, err
			}
			known[name] = tile
		}
		if partial > 0 {
			return known[name][:32*int(partial)], nil
		}
		return known[name], nil
	}, err
}

// Claims of which only the hashes are looked at: roots and leaves are those of the served tree. Both libraries must say
// the same of each, and tessera's client must make the proofs that are right.
func proofs(prefix, vkey string) error {
	head, _, reader, err := open(prefix, vkey)
	if err != nil {
		return err
	}
	fetch, err := tiles(prefix, uint64(head.N))
	if err != nil {
		return err
	}
	roots := map[int64]tlog.Hash{}
	root := func(size int64) tlog.Hash {
		if _, known := roots[size]; !known {
			if roots[size], err = tlog.TreeHash(size, reader); err != nil {
				log.Fatal(err)
			}
		}
		return roots[size]
	}
	var good, wrong int
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		var size, other int64
		fmt.Sscan(words[1]+" "+words[2], &size, &other)
		var path []tlog.Hash
		var given [][]byte
		for _, word := range words[3:] {
			hash, err := base64.StdEncoding.DecodeString(word)
			if err != nil {
				return err
			}
			path = append(path, hashOf(hash))
			given = append(given, hash)
		}
		builder, err := client.NewProofBuilder(context.Background(), uint64(size), fetch)
		if err != nil {
			return err
		}
		whole, hasher := root(size), rfc6962.DefaultHasher
		var made [][]byte
		var one, two error
		if words[0] == "inclusion" {
			leaf, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, other)})
			if err != nil {
				return err
			}
			one = tlog.CheckRecord(path, size, whole, other, leaf[0])
			two = merkle.VerifyInclusion(hasher, uint64(other), uint64(size), leaf[0][:], given, whole[:])
			made, err = builder.InclusionProof(context.Background(), uint64(other))
			if err != nil {
				return err
			}
		} else {
			old := root(other)
			one = tlog.CheckTree(path, size, whole, other, old)
			two = merkle.VerifyConsistency(hasher, uint64(other), uint64(size), given, old[:], whole[:])
			made, err = builder.ConsistencyProof(context.Background(), uint64(other), uint64(size))
			if err != nil {
				return err
			}
		}
		is_made := bytes.Equal(bytes.Join(made, nil), bytes.Join(given, nil))
		if (one == nil) != (two == nil) || (one == nil) != is_made {
			return fmt.Errorf("they differ: %s: %v, %v", lines.Text(), one, two)
		}
		if one == nil {
			good++
		} else {
			wrong++
		}
	}
	fmt.Printf("{\"good\":%d,\"wrong\":%d}\n", good, wrong)
	return nil
}

func hashes(bundle []byte) ([][]byte, error) {
	var parsed api.EntryBundle
	if err := parsed.UnmarshalText(bundle); err != nil {
		return nil, err
	}
	var all [][]byte
	for _, entry := range parsed.Entries {
		all = append(all, rfc6962.DefaultHasher.HashLeaf(entry))
	}
	return all, nil
}

func check_all(prefix, vkey string) error {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	root, err := url.Parse(prefix + "/")
	if err != nil {
		return err
	}
	fetcher, err := client.NewHTTPFetcher(root, nil)
	if err != nil {
		return err
	}
	if err := fsck.New(verifier.Name(), verifier, fetcher, hashes, fsck.Opts{N: 2}).Check(context.Background()); err != nil {
		return err
	}
	fmt.Println("{\"whole\":true}")
	return nil
}

func open_note[V note.Verifier](vkeys []string, parse func(string) (V, error)) error {
	var verifiers []note.Verifier
	for _, vkey := range vkeys {
		verifier, err := parse(vkey)
		if err != nil {
			return err
		}
		verifiers = append(verifiers, verifier)
	}
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	opened, err := note.Open(text, note.VerifierList(verifiers...))
	if err != nil {
		return err
	}
	if len(opened.Sigs) != len(vkeys) {
		return fmt.Errorf("%d of %d keys have signed it", len(opened.Sigs), len(vkeys))
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]string{"by": strings.Join(vkeys, " ")})
}

func main() {
	_ = sha256.Size
	var err error
	switch os.Args[1] {
	case "check":
		check()
	case "read":
		err = read(os.Args[2], os.Args[3])
	case "proofs":
		err = proofs(os.Args[2], os.Args[3])
	case "note":
		err = open_note(os.Args[2:], note.NewVerifier)
	case "cosigned":
		err = open_note(os.Args[2:], cosigned.NewVerifierForCosignatureV1)
	case "fsck":
		err = check_all(os.Args[2], os.Args[3])
	}
	if err != nil {
		log.Fatal(err)
	}
}
