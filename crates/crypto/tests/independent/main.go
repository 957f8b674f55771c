// Command open-value opens a stored value with an express key, and reads a recovery key.
//
// It was written after docs/values-at-rest.md alone and uses nothing but Go's standard library, of Go 1.19 or later. A manual or a
// recovery slot needs Argon2id or X25519, which that has not.
//
// It reads one JSON object from standard input and writes one to standard output.
package main

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
)

type request struct {
	ExpressKey string `json:"expressKey"`
	Slot       string `json:"slot"`
	Terms      []struct {
		Term    uint32 `json:"term"`
		Wrapped string `json:"wrapped"`
	} `json:"terms"`
	Tenant      int64  `json:"tenant"`
	Credential  int64  `json:"credential"`
	Attribute   int64  `json:"attribute"`
	User        *int64 `json:"user"`
	Value       int64  `json:"value"`
	Version     int64  `json:"version"`
	Sealed      string `json:"sealed"`
	RecoveryKey string `json:"recoveryKey"`
}

type answer struct {
	Plaintext   string `json:"plaintext"`
	MAC         string `json:"mac"`
	RecoveryKey string `json:"recoveryKey"`
}

func main() {
	var asked request
	decoder := json.NewDecoder(os.Stdin)
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&asked)
	var told answer
	if err == nil {
		told, err = run(asked)
	}
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(told)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(asked request) (answer, error) {
	var told answer
	if asked.RecoveryKey != "" {
		key, err := readRecoveryKey(asked.RecoveryKey)
		if err != nil {
			return told, err
		}
		told.RecoveryKey = hex.EncodeToString(key)
	}
	if asked.Sealed == "" {
		return told, nil
	}
	expressKey, err := hex.DecodeString(asked.ExpressKey)
	if err != nil {
		return told, err
	}
	slot, err := hex.DecodeString(asked.Slot)
	if err != nil {
		return told, err
	}
	sealed, err := hex.DecodeString(asked.Sealed)
	if err != nil {
		return told, err
	}
	rootKey, err := openExpressSlot(slot, expressKey)
	if err != nil {
		return told, err
	}
	dataKey, err := findDataKey(asked, rootKey, sealed)
	if err != nil {
		return told, err
	}
	plaintext, err := openValue(asked, dataKey, sealed)
	if err != nil {
		return told, err
	}
	told.Plaintext = string(plaintext)
	mac := hmac.New(sha256.New, hkdf(dataKey, nil, "coffre/term/value-mac/v1"))
	mac.Write(integer(asked.Value))
	mac.Write(integer(asked.Version))
	mac.Write(sealed)
	told.MAC = hex.EncodeToString(mac.Sum(nil))
	return told, nil
}

// HKDF-SHA-256 with 32 bytes of output, which is one block.
func hkdf(material, salt []byte, info string) []byte {
	if len(salt) == 0 {
		salt = make([]byte, sha256.Size)
	}
	extract := hmac.New(sha256.New, salt)
	extract.Write(material)
	expand := hmac.New(sha256.New, extract.Sum(nil))
	expand.Write([]byte(info))
	expand.Write([]byte{1})
	return expand.Sum(nil)
}

// Opens "nonce ‖ ciphertext ‖ tag".
func unwrap(key, associated, wrapped []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	if len(wrapped) < gcm.NonceSize() {
		return nil, errors.New("too short")
	}
	return gcm.Open(nil, wrapped[:gcm.NonceSize()], wrapped[gcm.NonceSize():], associated)
}

func openExpressSlot(slot, expressKey []byte) ([]byte, error) {
	if len(slot) != 175 || slot[0] != 1 || slot[1] != 1 || slot[50] != 1 {
		return nil, errors.New("this is no express slot")
	}
	header, check, wrapped, digest := slot[:51], slot[51:83], slot[83:143], slot[143:]
	if sum := sha256.Sum256(slot[:143]); !bytes.Equal(sum[:], digest) {
		return nil, errors.New("the slot is damaged")
	}
	salt := header[18:50]
	if !hmac.Equal(hkdf(expressKey, salt, "coffre/slot/express/check/v1"), check) {
		return nil, errors.New("the express key is not the one of the slot")
	}
	associated := append([]byte("coffre/slot/v1"), header...)
	return unwrap(hkdf(expressKey, salt, "coffre/slot/express/wrap/v1"), associated, wrapped)
}

func findDataKey(asked request, rootKey, sealed []byte) ([]byte, error) {
	if len(sealed) < 65 || sealed[0] != 1 {
		return nil, errors.New("this is no sealed value")
	}
	for _, term := range asked.Terms {
		if term.Term == binary.BigEndian.Uint32(sealed[1:5]) {
			wrapped, err := hex.DecodeString(term.Wrapped)
			if err != nil {
				return nil, err
			}
			associated := append([]byte("coffre/term/v1"), sealed[1:5]...)
			return unwrap(hkdf(rootKey, nil, "coffre/root/term/v1"), associated, wrapped)
		}
	}
	return nil, errors.New("the value's term is not there")
}

func openValue(asked request, dataKey, sealed []byte) ([]byte, error) {
	var associated []byte
	put := func(part []byte) {
		associated = append(associated, 0, 0, 0, byte(len(part)))
		associated = append(associated, part...)
	}
	put([]byte("coffre/value/v1"))
	put(integer(asked.Tenant))
	put(integer(asked.Credential))
	put(integer(asked.Attribute))
	if asked.User == nil {
		put(nil)
	} else {
		put(integer(*asked.User))
	}
	put(integer(asked.Value))
	put(integer(asked.Version))
	put(sealed[1:5])
	return unwrap(hkdf(dataKey, sealed[5:37], "coffre/value/key/v1"), associated, sealed[37:])
}

func integer(number int64) []byte {
	out := make([]byte, 8)
	binary.BigEndian.PutUint64(out, uint64(number))
	return out
}

func readRecoveryKey(typed string) ([]byte, error) {
	const alphabet = "23456789ACDEFHKLMNPRTWXY"
	letters := strings.NewReplacer(" ", "", "\n", "", "-", "").Replace(strings.ToUpper(typed))
	letters = strings.NewReplacer("Z", "2", "S", "5", "G", "6", "B", "8", "I", "L", "1", "L").Replace(letters)
	if len(letters) != 63 {
		return nil, errors.New("a recovery key has 63 letters")
	}
	var key []byte
	for group := 0; group < 63; group += 7 {
		var number uint64
		for _, letter := range letters[group : group+7] {
			digit := strings.IndexRune(alphabet, letter)
			if digit < 0 {
				return nil, errors.New("a letter that no recovery key has")
			}
			number = number*24 + uint64(digit)
		}
		if number > 0xffffffff {
			return nil, errors.New("a group that no recovery key has")
		}
		key = append(key, byte(number>>24), byte(number>>16), byte(number>>8), byte(number))
	}
	sum := sha256.Sum256(append([]byte("coffre/recovery-key/v1"), key[:32]...))
	if !bytes.Equal(sum[:4], key[32:]) {
		return nil, errors.New("the checksum does not fit")
	}
	return key[:32], nil
}
