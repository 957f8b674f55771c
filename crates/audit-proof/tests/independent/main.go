// Command check-audit checks what proves an audit log of Coffre.
//
// It was written after docs/audit-format.md alone and uses nothing but Go's standard library, of Go 1.19 or later.
//
//	check-audit export KEY [WITNESS] < export.ndjson   a whole export, against its checkpoint and the file of a witness
//	check-audit inclusion KEY < proof.json             GET /v1/audit/messages/{id}/proof
//	check-audit consistency KEY FROM TO < proof.json   GET /v1/audit/checkpoints/consistency, and the files of both checkpoints
//
// It ends with 0 only where everything is as it should be, and says what it found.
package main

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"
	"strconv"
	"strings"
)

func main() {
	told, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(told)
}

func run(args []string) (string, error) {
	if len(args) < 2 {
		return "", errors.New("usage: check-audit export|inclusion|consistency KEY …")
	}
	switch {
	case args[0] == "export" && len(args) <= 3:
		return export(args[1], args[2:])
	case args[0] == "inclusion" && len(args) == 2:
		return inclusion(args[1])
	case args[0] == "consistency" && len(args) == 4:
		return consistency(args[1], args[2], args[3])
	}
	return "", errors.New("usage: check-audit export|inclusion|consistency KEY …")
}

// The tree

func leafHash(entry []byte) []byte {
	sum := sha256.Sum256(append([]byte{0}, entry...))
	return sum[:]
}

func nodeHash(left, right []byte) []byte {
	sum := sha256.Sum256(append(append([]byte{1}, left...), right...))
	return sum[:]
}

// A tree that grows: the roots of its complete subtrees, the largest first.
type tree struct {
	size  uint64
	roots [][]byte
}

func (t *tree) push(hash []byte) {
	for n := t.size; n&1 == 1; n >>= 1 {
		hash = nodeHash(t.roots[len(t.roots)-1], hash)
		t.roots = t.roots[:len(t.roots)-1]
	}
	t.roots, t.size = append(t.roots, hash), t.size+1
}

func (t *tree) root() []byte {
	if t.size == 0 {
		sum := sha256.Sum256(nil)
		return sum[:]
	}
	root := t.roots[len(t.roots)-1]
	for i := len(t.roots) - 2; i >= 0; i-- {
		root = nodeHash(t.roots[i], root)
	}
	return root
}

// The root that an inclusion proof leads to. The proof lists the siblings from the leaf upwards.
func climb(hash []byte, index, size uint64, proof [][]byte) ([]byte, error) {
	for size > 1 {
		if index%2 == 1 || index+1 < size {
			if len(proof) == 0 {
				return nil, errors.New("the proof is too short")
			}
			if index%2 == 1 {
				hash = nodeHash(proof[0], hash)
			} else {
				hash = nodeHash(hash, proof[0])
			}
			proof = proof[1:]
		}
		index, size = index/2, (size+1)/2
	}
	if len(proof) > 0 {
		return nil, errors.New("the proof is too long")
	}
	return hash, nil
}

// Both roots that a consistency proof leads to, by the definition of RFC 9162, section 2.1.4.1: SUBPROOF, taken apart from its end.
func roots(from, to uint64, whole bool, known []byte, proof *[][]byte) (small, large []byte, err error) {
	take := func() []byte {
		if len(*proof) == 0 {
			err = errors.New("the proof is too short")
			return nil
		}
		last := (*proof)[len(*proof)-1]
		*proof = (*proof)[:len(*proof)-1]
		return last
	}
	if from == to {
		if whole {
			return known, known, nil
		}
		hash := take()
		return hash, hash, err
	}
	split := uint64(1) << (bits.Len64(to-1) - 1)
	other := take()
	if err != nil {
		return nil, nil, err
	}
	if from <= split {
		small, large, err = roots(from, split, whole, known, proof)
		return small, nodeHash(large, other), err
	}
	small, large, err = roots(from-split, to-split, false, nil, proof)
	return nodeHash(other, small), nodeHash(other, large), err
}

// Signed checkpoints

type checkpoint struct {
	size, cut uint64
	root      []byte
}

func openCheckpoint(note, verifier string) (checkpoint, error) {
	var c checkpoint
	parts := strings.SplitN(verifier, "+", 3)
	if len(parts) != 3 {
		return c, errors.New("the key is not <name>+<hash>+<base64>")
	}
	name := parts[0]
	key, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(key) != 33 || key[0] != 1 {
		return c, errors.New("the key is no Ed25519 key")
	}
	sum := sha256.Sum256(append([]byte(name+"\n"), key...))
	if hex.EncodeToString(sum[:4]) != parts[1] {
		return c, errors.New("the key's hash is not its own")
	}
	at := strings.LastIndex(note, "\n\n")
	if at < 0 {
		return c, errors.New("this is no signed note")
	}
	text, verified := note[:at+1], false
	for _, line := range strings.Split(strings.TrimSuffix(note[at+2:], "\n"), "\n") {
		fields := strings.Split(line, " ")
		if len(fields) != 3 || fields[0] != "—" {
			return c, errors.New("this is no signed note")
		}
		signature, err := base64.StdEncoding.DecodeString(fields[2])
		if err == nil && fields[1] == name && len(signature) == 4+ed25519.SignatureSize && bytes.Equal(signature[:4], sum[:4]) {
			if !ed25519.Verify(key[1:], []byte(text), signature[4:]) {
				return c, errors.New("the signature does not fit the text")
			}
			verified = true
		}
	}
	if !verified {
		return c, errors.New("the note is not signed with this key")
	}
	lines := strings.Split(text, "\n")
	if len(lines) < 6 || lines[0] != name || !strings.HasPrefix(lines[3], "time ") || !strings.HasPrefix(lines[4], "heads ") {
		return c, errors.New("the note is no checkpoint of this log")
	}
	if c.size, err = strconv.ParseUint(lines[1], 10, 63); err != nil {
		return c, err
	}
	if c.root, err = base64.StdEncoding.DecodeString(lines[2]); err != nil {
		return c, err
	}
	if strings.HasPrefix(lines[5], "cut ") {
		c.cut, err = strconv.ParseUint(lines[5][4:], 10, 63)
	}
	return c, err
}

// Reads the notes of a witness: each begins with the name of the log and ends behind its signatures. A half one at the end does not count.
func witnessed(file, verifier string) (map[uint64][]byte, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots, note, signed := map[uint64][]byte{}, "", false
	name := strings.SplitN(verifier, "+", 2)[0]
	finish := func() error {
		if !signed {
			note = ""
			return nil
		}
		c, err := openCheckpoint(note, verifier)
		if err == nil {
			roots[c.size] = c.root
		}
		note, signed = "", false
		return err
	}
	for _, line := range strings.SplitAfter(string(data), "\n") {
		if line == name+"\n" || (signed && !strings.HasPrefix(line, "— ")) {
			if err := finish(); err != nil {
				return nil, err
			}
		}
		if line == name+"\n" || note != "" {
			note += line
			signed = strings.HasPrefix(line, "— ") && strings.HasSuffix(line, "=\n")
		}
	}
	return roots, finish()
}

// What is checked

type proof struct {
	LogIndex   string   `json:"logIndex"`
	Canonical  []byte   `json:"canonical"`
	Hashes     [][]byte `json:"hashes"`
	Checkpoint struct {
		Note string `json:"note"`
	} `json:"checkpoint"`
}

func inclusion(verifier string) (string, error) {
	var p proof
	if err := json.NewDecoder(os.Stdin).Decode(&p); err != nil {
		return "", err
	}
	c, err := openCheckpoint(p.Checkpoint.Note, verifier)
	if err != nil {
		return "", err
	}
	index, err := strconv.ParseUint(p.LogIndex, 10, 63)
	if err != nil || index >= c.size {
		return "", errors.New("the entry is not below the checkpoint")
	}
	root, err := climb(leafHash(p.Canonical), index, c.size, p.Hashes)
	if err != nil {
		return "", err
	}
	if !bytes.Equal(root, c.root) {
		return "", errors.New("the proof does not lead to the signed root")
	}
	return fmt.Sprintf("entry %d is one of the %d", index, c.size), nil
}

func consistency(verifier, from, to string) (string, error) {
	var p proof
	if err := json.NewDecoder(os.Stdin).Decode(&p); err != nil {
		return "", err
	}
	var both [2]checkpoint
	for i, file := range []string{from, to} {
		note, err := os.ReadFile(file)
		if err == nil {
			both[i], err = openCheckpoint(string(note), verifier)
		}
		if err != nil {
			return "", err
		}
	}
	if both[0].size == 0 || both[0].size > both[1].size {
		return "", errors.New("the first log is not the smaller one")
	}
	small, large, err := roots(both[0].size, both[1].size, true, both[0].root, &p.Hashes)
	if err != nil {
		return "", err
	}
	if len(p.Hashes) > 0 || !bytes.Equal(small, both[0].root) || !bytes.Equal(large, both[1].root) {
		return "", errors.New("the proof does not lead to both signed roots")
	}
	return fmt.Sprintf("the log of %d is the beginning of the log of %d", both[0].size, both[1].size), nil
}

type line struct {
	Kind       string   `json:"kind"`
	FromIndex  string   `json:"fromIndex"`
	Before     [][]byte `json:"before"`
	Checkpoint string   `json:"checkpoint"`
	Entries    string   `json:"entries"`
	LogIndex   string   `json:"logIndex"`
	LeafHash   []byte   `json:"leafHash"`
	Canonical  []byte   `json:"canonical"`
	Filter     *string  `json:"filter"`
}

func export(verifier string, witness []string) (string, error) {
	seen := map[uint64][]byte{}
	if len(witness) > 0 {
		var err error
		if seen, err = witnessed(witness[0], verifier); err != nil {
			return "", fmt.Errorf("witness: %w", err)
		}
	}
	var c checkpoint
	var t tree
	var entries, anchored uint64
	in, ended := bufio.NewReader(os.Stdin), false
	for number := 1; ; number++ {
		bytesOfLine, err := in.ReadBytes('\n')
		if err == io.EOF && len(bytesOfLine) == 0 {
			break
		}
		var l line
		if err != nil || ended || json.Unmarshal(bytesOfLine, &l) != nil {
			return "", fmt.Errorf("line %d is cut off, or is no line of an export", number)
		}
		switch {
		case (l.Kind == "export") != (number == 1):
			return "", errors.New("the first line is not where it should be")
		case l.Kind == "export":
			if c, err = openCheckpoint(l.Checkpoint, verifier); err != nil {
				return "", err
			}
			t.size, err = strconv.ParseUint(l.FromIndex, 10, 63)
			t.roots = l.Before
			if l.Filter != nil || err != nil || t.size != c.cut || bits.OnesCount64(t.size) != len(t.roots) {
				return "", errors.New("these are not all entries of the log")
			}
		case l.Kind == "end":
			if ended = true; l.Entries != strconv.FormatUint(entries, 10) {
				return "", errors.New("entries are missing, or too many")
			}
		case l.Kind == "block":
			// Tells where a fault is, and proves nothing.
		default:
			leaf := leafHash(l.Canonical)
			if l.LogIndex != strconv.FormatUint(t.size, 10) || !bytes.Equal(leaf, l.LeafHash) {
				return "", fmt.Errorf("entry %s is not what was recorded at position %d", l.LogIndex, t.size)
			}
			t.push(leaf)
			entries++
			if root, is := seen[t.size]; is && t.size <= c.size {
				if !bytes.Equal(root, t.root()) {
					return "", fmt.Errorf("the witness saw other entries among the first %d", t.size)
				}
				anchored = t.size
			}
		}
	}
	if !ended || t.size != c.size || !bytes.Equal(t.root(), c.root) {
		return "", fmt.Errorf("the %d entries are not the %d that were signed", t.size, c.size)
	}
	for size := range seen {
		if size > c.size {
			return "", fmt.Errorf("the witness saw %d entries, and here are %d", size, c.size)
		}
	}
	return fmt.Sprintf("%d entries, a witness vouches for the first %d", c.size, anchored), nil
}
