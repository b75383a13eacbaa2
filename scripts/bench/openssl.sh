# Makes CA, leaves and htpasswd in the current directory with openssl 3.
san() {
	list=''
	for name in "$@"; do
		case $name in
		*:* | *[0-9].*[0-9]) list="$list,IP:$name" ;;
		*) list="$list,DNS:$name" ;;
		esac
	done
	printf '%s' "${list#,}"
}

# permitted NAME...: constraints that allow the names and loopback addresses.
permitted() {
	list='permitted;IP:127.0.0.0/255.0.0.0,permitted;IP:::1/ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'
	for name in "$@"; do
		case $name in
		*:* | *[0-9].*[0-9]) ;;
		*) list="$list,permitted;DNS:$name" ;;
		esac
	done
	printf '%s' "$list"
}

# leaf NAME USAGE [EXTENSION...]
leaf() {
	name=$1 usage=$2
	shift 2
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 \
		-CA ca.crt -CAkey ca.key -days 90 -subj "/O=bench/CN=$name" \
		-keyout "$name.key" -out "$name.crt" \
		-addext basicConstraints=critical,CA:FALSE \
		-addext keyUsage=critical,digitalSignature \
		-addext "extendedKeyUsage=$usage" "$@"
}

# shellcheck disable=SC2086
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 \
	-days 3650 -subj '/O=bench/CN=bench CA' -keyout ca.key -out ca.crt \
	-addext basicConstraints=critical,CA:TRUE,pathlen:1 \
	-addext keyUsage=critical,keyCertSign,cRLSign \
	-addext "nameConstraints=critical,$(permitted $REGISTRY_NAMES $BUILDKIT_NAMES)"
# shellcheck disable=SC2086
leaf registry serverAuth -addext "subjectAltName=$(san $REGISTRY_NAMES)"
# shellcheck disable=SC2086
leaf buildkit serverAuth -addext "subjectAltName=$(san $BUILDKIT_NAMES)"
leaf client clientAuth
printf '%s' "$PASSWORD" | htpasswd -inBC 5 testuser >htpasswd
