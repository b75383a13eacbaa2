package lifecycle_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/certyard/certyard/pki"
	"github.com/certyard/certyard/stack"
)

// poll asks again and again, until ctx ends. What asks tells the password that it
// has used.
func (w *traffic) poll(ctx context.Context, service string, ask func() (string, error)) {
	for ctx.Err() == nil {
		a := answer{from: time.Now()}
		a.password, a.err = ask()
		a.at = time.Now()
		w.mu.Lock()
		w.polls[service] = append(w.polls[service], a)
		w.mu.Unlock()
		time.Sleep(20 * time.Millisecond)
	}
}

func (w *traffic) trust() (pki.TrustBundle, error) {
	data, err := os.ReadFile(at(w.d, stack.FileClientCA))
	if err != nil {
		return pki.TrustBundle{}, err
	}
	return pki.ParseTrustBundle(data)
}

// password reads what docker's tools would send.
func (w *traffic) password() (string, error) {
	data, err := os.ReadFile(at(w.d, stack.FileDockerConfig))
	if err != nil {
		return "", err
	}
	var config struct {
		Auths map[string]struct{ Auth string }
	}
	if err := json.Unmarshal(data, &config); err != nil {
		return "", err
	}
	both, err := base64.StdEncoding.DecodeString(config.Auths[w.registry.Address()].Auth)
	_, password, _ := strings.Cut(string(both), ":")
	return password, err
}

// askRegistry asks with the password that docker's tools would send, and wants to
// be let in.
func (w *traffic) askRegistry() (password string, err error) {
	if password, err = w.password(); err != nil {
		return "", err
	}
	trust, err := w.trust()
	if err != nil {
		return password, err
	}
	request, err := http.NewRequest(http.MethodGet, "https://"+w.endpoints[stack.Registry].Address()+"/v2/", nil)
	if err != nil {
		return password, err
	}
	request.SetBasicAuth(stack.DefaultUser, password)
	c := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: trust.Pool()}}}
	response, err := c.Do(request)
	if err != nil {
		return password, err
	}
	defer response.Body.Close()
	return password, letIn(response)
}

func letIn(response *http.Response) error {
	switch response.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusUnauthorized:
		return errRefused
	default:
		return errors.New(response.Status)
	}
}

// askBuilder needs no password.
func (w *traffic) askBuilder() (string, error) {
	trust, err := w.trust()
	if err != nil {
		return "", err
	}
	config := &tls.Config{RootCAs: trust.Pool(), NextProtos: []string{"h2"}}
	if w.mutual {
		pair, err := tls.LoadX509KeyPair(at(w.d, stack.FileClientCert), at(w.d, stack.FileClientKey))
		if err != nil {
			return "", err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return "", greet(w.endpoints[stack.Builder].Address(), config)
}

// greet says and hears enough of a server to know that it lets in (P22).
func greet(address string, config *tls.Config) error {
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", address, config)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"); err != nil {
		return err
	}
	_, err = io.ReadFull(conn, make([]byte, 9))
	return err
}
