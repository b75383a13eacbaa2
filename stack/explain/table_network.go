package explain

// networkEntries: there is no connection.
func networkEntries() []Entry {
	all := []Hop{ClientBuilder, BuilderRegistry, ClientRegistry, EngineRegistry, ClientToken, Command}
	return []Entry{
		{
			// P31.
			ID: "connection-refused", Title: "nothing listens there", Hops: all,
			Patterns: []Pattern{
				{Text: "dial tcp <address>: connect: connection refused"},
				{Text: "connect: connection refused"},
				{Text: "connection refused"},
				{Text: "connect: Connection refused"},
				{Text: "Failed to connect to * Connection refused", Hop: Command, Source: "curl 7.88.1 lib/connect.c"},
				{Text: "curl: (7) ", Hop: Command, Source: "curl 7.88.1 lib/strerror.c"},
				{Text: "connectex: No connection could be made because the target machine actively refused it"},
			},
			Means: "the machine answered that no program has the port {address}",
			Causes: []Cause{
				{"the server does not run, or not any more", `"docker ps -a" shows its state, "docker logs" its last words`},
				{"the address is the loopback of another container", "the builder says 127.0.0.1 or [::1]: there that is the builder's own container; name the registry by its service name"},
				{"it listens on a socket or on its loopback only", "buildkitd.toml has to have address = [\"tcp://0.0.0.0:1234\"]; without it there is a unix socket alone"},
				{"the port is not published, or under another number", `"docker port CONTAINER"`},
				{"it was just being restarted", "it works now; buildkitd does not try again when a connection is refused"},
			},
			Confirm: `docker ps -a --format '{{.Names}} {{.Status}} {{.Ports}}'`,
			Mend: Mend{
				Certyard: `"certyard status" shows what runs and where, "certyard up" starts it, "certyard logs" says why it stopped`,
				Hand:     "docker start CONTAINER; or correct the address: inside of containers the service's name, outside the published port",
			},
			Source: goNet + ", syscall ECONNREFUSED; buildkit v0.34.2 util/resolver/retryhandler/retry.go:90-108",
		},
		{
			ID: "no-such-host", Title: "the name is not known to this side", Hops: all,
			Patterns: []Pattern{
				{Text: "dial tcp: lookup <name> on <dns>: no such host"},
				{Text: "dial tcp: lookup <name>: no such host"},
				{Text: "lookup <name> on <dns>: no such host"},
				{Text: "lookup <name>: no such host"},
				{Text: "no such host"},
				{Text: "produced zero addresses", Hop: ClientBuilder, Source: "grpc-go v1.84.0 internal/resolver/dns/dns_resolver.go"},
				{Text: "curl: (6) Could not resolve host: <name>", Hop: Command, Source: "curl 7.88.1 lib/hostip.c"},
				{Text: "Temporary failure in name resolution", Source: "glibc gai_strerror"},
				{Text: "Name or service not known", Source: "glibc gai_strerror"},
			},
			Means: "{name} has no address where this was looked up ({dns})",
			Causes: []Cause{
				{"a service name is used outside of its network", "{name} is known to containers of the compose network alone; on the host it is localhost and the published port"},
				{"the container is in another network", `"docker inspect -f '{{json .NetworkSettings.Networks}}' CONTAINER" shows which; a builder that buildx made has one of its own`},
				{"a RUN step asks for it", "a build step has the network of its own, unless --network=host and network.host are allowed"},
				{"the service does not run", "compose's DNS knows the names of running containers only"},
				{"a typo", "look at the name in the text"},
			},
			Confirm: `{run}getent hosts {name}`,
			Mend: Mend{
				Certyard: `"certyard env" prints the name for this side; registry.name with serve: edge makes one name for both`,
				Hand:     "put the container into the network (docker network connect NETWORK CONTAINER), or use the name of this side",
			},
			Source: goNet + "/net.go",
		},
		{
			ID: "dns-misbehaving", Title: "the DNS server did not answer properly", Hops: all,
			Patterns: []Pattern{
				{Text: "lookup <name> on <dns>: server misbehaving"},
				{Text: "server misbehaving"},
				{Text: "lookup <name> on <dns>: read udp * i/o timeout"},
			},
			Means:   "{dns} was asked for {name} and returned an error, or nothing; with Docker's own (127.0.0.11) that is often a name of another network",
			Causes:  []Cause{{"Docker's DNS passes the question on to a server that fails", "{name} is no service of this network"}, {"the host's resolv.conf names an unreachable server", "other names fail as well"}},
			Confirm: `{run}cat /etc/resolv.conf`,
			Mend:    Mend{Certyard: `"certyard status" shows the names of the stack`, Hand: "correct the name, or set dns of the container or of the engine"},
			Source:  goNet + "/dnsclient_unix.go:46-53",
		},
		{
			ID: "io-timeout", Title: "no answer came in time", Hops: all,
			Patterns: []Pattern{
				{Text: "dial tcp <address>: i/o timeout"},
				{Text: "dial tcp <address>: connect: connection timed out"},
				{Text: "i/o timeout"},
				{Text: "connection timed out"},
				{Text: "curl: (28) ", Hop: Command, Source: "curl 7.88.1 lib/strerror.c"},
				{Text: "Client.Timeout exceeded while awaiting headers", Source: goHTTP + "/client.go:737"},
			},
			Means:   "packets to {address} are lost: nobody refused, and nobody answered",
			Causes:  []Cause{{"a firewall drops them", "the same from another machine or container works"}, {"the address is that of a container that is gone", `"docker network inspect NETWORK" does not list it`}, {"the port is published on another address", "it is on 127.0.0.1 of the other machine"}},
			Confirm: `{run}timeout 5 openssl s_client -connect {server} </dev/null | head -3`,
			Mend:    Mend{Certyard: `registry.publish and builder.publish say on which address the ports are`, Hand: "correct the address, publish the port there, or open the firewall"},
			Source:  goNet + "/net.go",
		},
		{
			ID: "tls-handshake-timeout", Title: "the connection stands, and the TLS handshake did not come through", Hops: all,
			Patterns: []Pattern{
				{Text: "net/http: TLS handshake timeout"},
			},
			Means:   "the port took the connection and sent nothing in ten seconds",
			Causes:  []Cause{{"the server is overloaded, or hangs", "other requests to it are slow as well"}, {"large packets are lost: the MTU of a tunnel or an overlay network", "small requests work; \"ping -M do -s 1400\" does not"}, {"a proxy that does not speak TLS", "HTTPS_PROXY is set"}},
			Confirm: `{run}timeout 15 openssl s_client -connect {server} -servername {host} </dev/null | head -5`,
			Mend:    Mend{Certyard: `"certyard smoke" says how long each connection took`, Hand: "try again; set the mtu of the Docker network (com.docker.network.driver.mtu) to that of the path"},
			Source:  goHTTP + "/transport.go:3211",
		},
		{
			ID: "connection-reset", Title: "the connection was cut while it was in use", Hops: all,
			Patterns: []Pattern{
				{Text: "connection reset by peer"},
				{Text: "Connection reset by peer"},
				{Text: "broken pipe"},
				{Text: "http2: client connection lost", Source: "golang.org/x/net v0.59.0 http2/transport.go"},
			},
			Means:   "the other side, or something in between, ended it without a word",
			Causes:  []Cause{{"the server was stopped or crashed", "its log ends, or begins anew, in that second; a registry without draintimeout breaks off every upload when it is stopped"}, {"a proxy or load balancer has a time limit", "it happens after the same time"}, {"it refuses what it was sent", "it comes at once, each time"}},
			Confirm: `docker ps -a --format '{{.Names}} {{.Status}}'`,
			Mend:    Mend{Certyard: `"certyard logs" shows what the daemons said`, Hand: "  http:\n    draintimeout: 60s\nfor a registry that is restarted while others push; then push again"},
			Source:  goNet + ", syscall ECONNRESET; distribution v3.1.2 registry/registry.go:325-348",
		},
		{
			ID: "no-route", Title: "there is no way to that address", Hops: all,
			Patterns: []Pattern{
				{Text: "no route to host"},
				{Text: "network is unreachable"},
				{Text: "No route to host"},
			},
			Means:   "this side's network has no route to it, or a firewall says so",
			Causes:  []Cause{{"the address is of a network that this container is not in", "compare \"ip route\" there"}, {"an IPv6 address, and no IPv6 here", "the address has colons"}, {"the container is gone", "its address was remembered"}},
			Confirm: `{run}ip route`,
			Mend:    Mend{Certyard: `"certyard up" puts both services into one network`, Hand: "docker network connect NETWORK CONTAINER"},
			Source:  goNet + ", syscall EHOSTUNREACH, ENETUNREACH",
		},
		{
			ID: "unexpected-eof", Title: "the other side hung up in the middle", Hops: all,
			Patterns: []Pattern{
				{Text: ": unexpected EOF"},
				{Text: "tls: unexpected EOF"},
				{Text: "unexpected eof while reading", Source: ossl},
				{Text: "server closed idle connection", Source: goHTTP + "/transport.go"},
				{Text: "GnuTLS recv error (-110)", Hop: Command, Source: "GnuTLS 3.7.9 lib/errors.c"},
			},
			Means:   "the connection was closed before the answer was complete",
			Causes:  []Cause{{"the server was stopped or crashed", "its log says so"}, {"the port is that of something that does not speak this protocol", "it happens at once, each time: plain text to TLS or the other way round"}, {"a proxy's limit of size or time", "it happens with large layers only"}},
			Confirm: `{run}openssl s_client -connect {server} -servername {host} </dev/null 2>&1 | head -5`,
			Mend:    Mend{Certyard: `"certyard smoke" tries every path; "certyard logs" shows what the daemons said`, Hand: "look at the server's log of that second"},
			Source:  "Go 1.26.8 io/io.go:48",
			Wraps:   true,
		},
		{
			ID: "address-in-use", Title: "another program has the port", Hops: []Hop{DaemonStart},
			Patterns: []Pattern{
				{Text: "listen tcp <address>: bind: address already in use", Hop: DaemonStart},
				{Text: "bind: address already in use", Hop: DaemonStart},
				{Text: "port is already allocated", Hop: DaemonStart, Source: moby + "libnetwork/portallocator/portallocator.go"},
			},
			Means:   "the server could not open {address}",
			Causes:  []Cause{{"another container or program has it", "the command below names it"}, {"an older instance of the same still runs", "docker ps shows two"}},
			Confirm: `ss -ltnp | grep LISTEN`,
			Mend:    Mend{Certyard: `set registry.publish or builder.publish in certyard.yaml, with port 0 for any free one`, Hand: "stop the other one, or take another port"},
			Source:  goNet + ", syscall EADDRINUSE",
		},
	}
}
