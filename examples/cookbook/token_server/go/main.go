// A token server in Go: who is logged in gets a token of a quarter of an hour.
package main

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Your sessions, by the value of their cookie.
var sessions = map[string]string{"s-ann": "ann", "s-bob": "bob"}

type grant struct {
	Room    string   `json:"room"`
	Actions []string `json:"actions"`
}

type claims struct {
	jwt.Claims
	Tenant string  `json:"tenant_id"`
	Role   string  `json:"role"`
	Grants []grant `json:"grants"`
}

func tokenFor(user string, signer jose.Signer) (string, error) {
	now := time.Now()
	return jwt.Signed(signer).Claims(claims{
		Claims: jwt.Claims{
			Issuer:   "https://app.example.com",
			Audience: jwt.Audience{"arqon"},
			Subject:  user,
			IssuedAt: jwt.NewNumericDate(now),
			Expiry:   jwt.NewNumericDate(now.Add(15 * time.Minute)),
		},
		Tenant: "acme",
		Role:   "user",
		Grants: []grant{
			{"chat-*", []string{"publish", "subscribe", "presence"}},
			{"inbox-" + user, []string{"subscribe"}},
		},
	}).Serialize()
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: token_server KEY_FILE PORT")
	}
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	var key jose.JSONWebKey
	if err := key.UnmarshalJSON(text); err != nil {
		log.Fatal(err)
	}
	signing := jose.SigningKey{Algorithm: jose.SignatureAlgorithm(key.Algorithm), Key: key}
	signer, err := jose.NewSigner(signing, nil)
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		cookie, err := r.Cookie("session")
		if err != nil || sessions[cookie.Value] == "" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		token, err := tokenFor(sessions[cookie.Value], signer)
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.Header().Set("cache-control", "no-store")
		fmt.Fprint(w, token)
	})
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	log.Fatal(http.Serve(listener, nil))
}
