// A program as its author would write it with golang.org/x/oauth2: it gets a token for an operator's password, lets the library renew it, calls
// the API with it, revokes it, and gets one on its own. What it saw goes to standard output as JSON, for the test that started it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// What the test says on standard input.
type given struct {
	URL      string `json:"url"`
	ID       string `json:"id"`
	Secret   string `json:"secret"`
	Username string `json:"username"`
	Password string `json:"password"`
	Robot    string `json:"robot"`
	// The secret of the access that acts on its own.
	RobotSecret string `json:"robotSecret"`
}

// What it sees.
type seen struct {
	TokenType    string          `json:"tokenType"`
	ExpiresIn    float64         `json:"expiresIn"`
	Rotated      bool            `json:"rotated"`
	Dashboard    json.RawMessage `json:"dashboard"`
	Revoked      int             `json:"revoked"`
	AfterRevoke  int             `json:"afterRevoke"`
	RefreshError string          `json:"refreshError"`
	WrongError   string          `json:"wrongError"`
	Robot        json.RawMessage `json:"robot"`
	RobotRefresh string          `json:"robotRefresh"`
	Tokens       []string        `json:"tokens"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	var it given
	if err := json.NewDecoder(os.Stdin).Decode(&it); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	config := oauth2.Config{
		ClientID:     it.ID,
		ClientSecret: it.Secret,
		Endpoint:     oauth2.Endpoint{TokenURL: it.URL + "/oauth/token"},
		Scopes:       []string{"public-api"},
	}
	var out seen

	token, err := config.PasswordCredentialsToken(ctx, it.Username, it.Password)
	if err != nil {
		return fmt.Errorf("password: %w", err)
	}
	out.TokenType, out.ExpiresIn = token.Type(), time.Until(token.Expiry).Seconds()

	// The library renews what has expired.
	stale := *token
	stale.Expiry = time.Now().Add(-time.Minute)
	source := config.TokenSource(ctx, &stale)
	renewed, err := source.Token()
	if err != nil {
		return fmt.Errorf("refresh: %w", err)
	}
	out.Rotated = renewed.RefreshToken != token.RefreshToken && renewed.AccessToken != token.AccessToken
	out.Tokens = []string{token.AccessToken, token.RefreshToken, renewed.AccessToken, renewed.RefreshToken}

	client := oauth2.NewClient(ctx, source)
	if _, out.Dashboard, err = get(client, it.URL+"/api/dashboard"); err != nil {
		return fmt.Errorf("bearer: %w", err)
	}

	if out.Revoked, err = revoke(ctx, it, renewed.RefreshToken); err != nil {
		return fmt.Errorf("revoke: %w", err)
	}
	// Everybody knows within a second.
	for begun := time.Now(); time.Since(begun) < 2*time.Second; time.Sleep(20 * time.Millisecond) {
		if out.AfterRevoke, _, err = get(client, it.URL+"/api/dashboard"); err != nil || out.AfterRevoke != 200 {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("after the revocation: %w", err)
	}
	stale = *renewed
	stale.Expiry = time.Now().Add(-time.Minute)
	_, err = config.TokenSource(ctx, &stale).Token()
	out.RefreshError = code(err)
	_, err = config.PasswordCredentialsToken(ctx, it.Username, it.Password+"x")
	out.WrongError = code(err)

	robot := clientcredentials.Config{ClientID: it.Robot, ClientSecret: it.RobotSecret, TokenURL: it.URL + "/oauth/token"}
	own, err := robot.Token(ctx)
	if err != nil {
		return fmt.Errorf("client credentials: %w", err)
	}
	out.RobotRefresh = own.RefreshToken
	out.Tokens = append(out.Tokens, own.AccessToken)
	if _, out.Robot, err = get(robot.Client(ctx), it.URL+"/api/dashboard"); err != nil {
		return fmt.Errorf("bearer of client credentials: %w", err)
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

// The error code of RFC 6749 as the library read it.
func code(err error) string {
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) {
		return refused.ErrorCode
	}
	return fmt.Sprint(err)
}

func get(client *http.Client, url string) (int, json.RawMessage, error) {
	answer, err := client.Get(url)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return answer.StatusCode, body, err
}

// The library has no revocation; RFC 7009 is one form.
func revoke(ctx context.Context, it given, token string) (int, error) {
	form := url.Values{"token": {token}, "token_type_hint": {"refresh_token"}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, it.URL+"/oauth/revoke", strings.NewReader(form.Encode()))
	if err != nil {
		return 0, err
	}
	request.SetBasicAuth(url.QueryEscape(it.ID), url.QueryEscape(it.Secret))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	answer.Body.Close()
	return answer.StatusCode, nil
}
