# Makes CA, leaves and htpasswd in the current directory with mkcert. -ecdsa
# is for the CA too, which has no name constraints.
export CAROOT=$PWD/ca
mkdir ca
# shellcheck disable=SC2086
"$MKCERT" -ecdsa -cert-file registry.crt -key-file registry.key $REGISTRY_NAMES
# shellcheck disable=SC2086
"$MKCERT" -ecdsa -cert-file server.crt -key-file server.key $BUILDKIT_NAMES
"$MKCERT" -ecdsa -client -cert-file cert.pem -key-file key.pem client
printf '%s' "$PASSWORD" | htpasswd -inBC 5 testuser >htpasswd
