package credential

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// maxFile bounds what is read of a file with certificates or keys, in bytes.
const maxFile = 1 << 20

func certPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// decode reads a private key and certificates in PEM. It never repeats what it
// was given.
func decode(data []byte) (key *ecdsa.PrivateKey, certs []*x509.Certificate, err error) {
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return key, certs, nil
		}
		data = rest
		switch block.Type {
		case "PRIVATE KEY":
			k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			e, ok := k.(*ecdsa.PrivateKey)
			if err != nil || !ok || key != nil {
				return nil, nil, errors.New("its private key is not one of ECDSA")
			}
			key = e
		case "CERTIFICATE":
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, nil, errors.New("a certificate in it cannot be read")
			}
			certs = append(certs, c)
		default:
			return nil, nil, fmt.Errorf("it holds a %q", block.Type)
		}
	}
}

// ReadCertificates reads certificates in PEM, at least one.
func ReadCertificates(data []byte) ([]*x509.Certificate, error) {
	key, certs, err := decode(data)
	switch {
	case err != nil:
		return nil, err
	case key != nil:
		return nil, errors.New("it holds a private key, which does not belong there")
	case len(certs) == 0:
		return nil, errors.New("it holds no certificate in PEM")
	}
	return certs, nil
}

// ReadPool reads a file of certificates that are believed.
func ReadPool(file string) (*x509.CertPool, error) {
	data, err := readFile(file)
	if err != nil {
		return nil, fmt.Errorf("read certificates: %w", err)
	}
	certs, err := ReadCertificates(data)
	if err != nil {
		return nil, fmt.Errorf("read certificates %s: %w", file, err)
	}
	pool := x509.NewCertPool()
	for _, c := range certs {
		pool.AddCert(c)
	}
	return pool, nil
}

func readFile(file string) ([]byte, error) {
	st, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > maxFile {
		return nil, fmt.Errorf("%s is no file of at most 1 MiB", file)
	}
	return os.ReadFile(file)
}

func readPrivate(file string) ([]byte, error) {
	st, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s: others can read it (mode %04o); run: chmod 600 %s", file, st.Mode().Perm(), file)
	}
	return readFile(file)
}

// WriteFile replaces a file whole and durably.
func WriteFile(file string, data []byte, mode os.FileMode) error {
	dir := filepath.Dir(file)
	tmp, err := os.CreateTemp(dir, ".credential-*") // 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Chmod(mode), tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	if err := os.Rename(tmp.Name(), file); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return syncDir(dir)
}

// syncDir makes names in a folder durable: a rename alone is not.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	return nil
}
