package explain

// accessHops is where these messages come from, the usual place first.
var accessHops = []Hop{BuilderRegistry, ClientRegistry, EngineRegistry}

// accessEntries: users, passwords and tokens.
var accessEntries = []Entry{
	{
		// P11: the key of config.json is the host as the daemon sees it.
		ID: "unauthorized", Title: "the registry wants a user and password, and got none or wrong ones", Hops: accessHops,
		Patterns: []Pattern{
			{Text: ": 401 Unauthorized"},
			{Text: "unauthorized: authentication required"},
			{Text: "unauthorized: incorrect username or password"},
			{Text: "UNAUTHORIZED: authentication required"},
			{Text: "UNAUTHORIZED: "},
			{Text: `UNAUTHORIZED","message":"authentication required`},
			{Text: "unexpected status code 401"},
			{Text: "authorization failed: no basic auth credentials"},
			{Text: "no basic auth credentials", Source: "containerd v2.4.2 core/remotes/docker/authorizer.go:202"},
			{Text: "curl: (22) The requested URL returned error: 401", Hop: Command, Source: "curl 7.88.1 lib/http.c"},
			{Text: "HTTP Basic: Access denied"},
		},
		Means: "TLS works; {registry} refused for want of the right user and password",
		Causes: []Cause{
			{"the client has a login for another name of the same registry", "in ~/.docker/config.json the key has to be {registry}, as the builder names it in the reference: a login to localhost:5005 is not one to registry:5000"},
			{"nobody has logged in", "auths in config.json has no such key, and no credsStore does"},
			{"the password is wrong", "the registry's log says: user failed to authenticate"},
			{"the registry's htpasswd has another kind of hash", "its log says: error authenticating user; it knows bcrypt alone"},
			{"a Go program passed no session attachable", "client.SolveOpt.Session has no authprovider"},
		},
		Confirm: `{run}curl -si --cacert ca.pem -u USER https://{server}/v2/ | head -1`,
		Mend: Mend{
			Certyard: `eval "$(certyard env)" sets a DOCKER_CONFIG that has every name of the registry; "certyard rotate" makes new passwords`,
			Hand:     "  docker login {registry}\nfor a name that only the builder knows, copy the entry of config.json's auths under that name",
		},
		Source: dist + "registry/api/errcode/register.go:38-45; buildkit v0.34.2 util/resolver/authorizer.go:165",
	},
	{
		ID: "denied", Title: "the user is known, and may not do this", Hops: accessHops,
		Patterns: []Pattern{
			{Text: "pull access denied", Source: "containerd v2.4.2 core/remotes/docker/resolver.go:336"},
			{Text: "insufficient_scope: authorization failed", Source: "containerd v2.4.2 core/remotes/docker/authorizer.go:375"},
			{Text: "requested access to the resource is denied"},
			{Text: ": 403 Forbidden"},
			{Text: "DENIED: "},
			{Text: `DENIED","message":"`},
		},
		Means:   "the registry knows who asks and refuses, or says so about a repository that it does not have",
		Causes:  []Cause{{"the name lacks the registry's host, and so means Docker Hub", "the reference has no dot, port or localhost before its first slash"}, {"the repository does not exist", "look for a typo"}, {"the account may only read", "a pull works, and a push does not"}},
		Confirm: `curl -si --cacert ca.pem -u USER https://{server}/v2/_catalog | head -20`,
		Mend:    Mend{Certyard: `every user of certyard's registry may read and write; references begin with what "certyard env" prints as the registry`, Hand: "write the whole reference, {registry}/NAME:TAG, or ask for the right"},
		Source:  dist + "registry/api/errcode/register.go",
	},
	{
		// P11, P12.
		ID: "token", Title: "the token could not be fetched", Hops: []Hop{ClientToken, BuilderToken, EngineRegistry},
		Patterns: []Pattern{
			{Text: "failed to fetch oauth token: ", Source: buildkit + "session/auth/authprovider/authprovider.go:133"},
			{Text: "failed to fetch anonymous token: ", Source: buildkit + "session/auth/authprovider/authprovider.go:170"},
			{Text: "failed to authorize: ", Source: "containerd v2.4.2 core/remotes/docker/resolver.go:696"},
		},
		Means: "the registry sends its clients to a token server, and that one did not give a token; it is the client's process that asks it, not the builder",
		Causes: []Cause{
			{"the client does not trust the token server's CA", "the text goes on with x509; buildctl takes --registry-auth-tlscontext, buildx has nothing of the kind"},
			{"the token server's name is not known on this machine", "the text goes on with: no such host"},
			{"user or password are wrong", "the text goes on with 401 or 400"},
		},
		Confirm: `curl -si --cacert ca.pem https://{server}/`,
		Mend: Mend{
			Certyard: `certyard's registry has users of its own and no token server`,
			Hand:     "  buildctl build --registry-auth-tlscontext host={registry},ca=ca.pem ...\nor have the builder fetch it, with the CA of its section for the registry: BUILDKIT_NO_CLIENT_TOKEN=1 in the client's environment",
		},
		Source: buildkit + "session/auth/authprovider/authprovider.go:133-170",
		Wraps:  true,
	},
	{
		ID: "wrong-password", Title: "somebody came with a wrong password", Hops: []Hop{ServerLog},
		Patterns: []Pattern{
			{Text: "user failed to authenticate", Hop: ServerLog},
			{Text: `error authorizing context: basic authentication challenge for realm`, Hop: ServerLog, Source: dist + "registry/handlers/app.go:741"},
		},
		Means:   "the registry asked for a user and a password; without any this line is the first half of every login, and nothing is wrong",
		Causes:  []Cause{{"a client that asks first and logs in then", "it says \"invalid authorization credential\", and the next request of the same client has status 200 or 202"}, {"a wrong password", "it says \"authentication failure\""}},
		Confirm: `curl -si --cacert ca.pem -u USER https://HOST:PORT/v2/ | head -1`,
		Mend:    Mend{Certyard: `"certyard env" has the right one; "certyard smoke" tries a right and a wrong one`, Hand: "docker login again"},
		Source:  dist + "registry/auth/htpasswd/htpasswd.go:45-62",
	},
	{
		// P26.
		ID: "htpasswd-hash", Title: "htpasswd has a hash that the registry does not know", Hops: []Hop{ServerLog},
		Patterns: []Pattern{{Text: "error authenticating user", Hop: ServerLog}},
		Means:    "the user is in the file, and the hash is no bcrypt: nobody can log in as that user",
		Causes:   []Cause{{"htpasswd was called without -B", "the line does not begin with USER:$2"}},
		Confirm:  `cut -c1-20 auth/htpasswd`,
		Mend:     Mend{Certyard: `"certyard up" writes htpasswd with bcrypt`, Hand: "htpasswd -Bbn USER PASSWORD > auth/htpasswd     (it is read again when its date changes; mount its directory, not the file)"},
		Source:   dist + "registry/auth/htpasswd/htpasswd.go:57",
	},
	{
		ID: "htpasswd-entry", Title: "htpasswd has a line that is none", Hops: []Hop{ServerLog, DaemonStart},
		Patterns: []Pattern{{Text: "htpasswd: invalid entry at line <line>"}},
		Means:    "a line has no colon; the registry keeps what it had of the file before, and does not take any of the new one",
		Causes:   []Cause{{"the file was written while the registry read it, or is cut off", "line {line} is half of one"}},
		Confirm:  `grep -nv '^[^:]*:\$2' auth/htpasswd`,
		Mend:     Mend{Certyard: `"certyard up" writes the file whole and moves it into place`, Hand: "write it beside and move it (mv) into place, in a directory that is mounted as a whole"},
		Source:   dist + "registry/auth/htpasswd/htpasswd.go:90",
	},
	{
		ID: "bad-request", Title: "the registry answers 400, and does not say why", Hops: accessHops,
		Patterns: []Pattern{{Text: "unexpected status from * request to https://*: 400 Bad Request", Source: "containerd v2.4.2 core/remotes/errors/errors.go:43"}},
		Means:    "TLS works; a registry answers so to everybody who logs in when it cannot read its htpasswd",
		Causes: []Cause{
			{"htpasswd has a line that is none", "the registry's log says: error checking authorization: htpasswd: invalid entry"},
			{"htpasswd is gone, or a directory", "it says: no such file or directory, or: is a directory"},
			{"it is no registry that answers", "the log of the registry has nothing of it"},
		},
		Confirm: `docker logs --tail 50 REGISTRY 2>&1 | grep 'error checking authorization'`,
		Mend:    Mend{Certyard: `"certyard up" writes htpasswd whole and moves it into place`, Hand: "htpasswd -Bbn USER PASSWORD > auth/htpasswd     (without a restart: it is read again when its date changes)"},
		Source:  dist + "registry/handlers/app.go:917-924, registry/auth/htpasswd/access.go:80-101",
	},
	{
		ID: "htpasswd-missing", Title: "htpasswd was not there, and the registry made one with a user nobody knows", Hops: []Hop{DaemonStart},
		Patterns: []Pattern{{Text: "htpasswd is missing, provisioning with default user", Hop: DaemonStart}},
		Means:    "the registry wrote a file with the user docker and a password that stands in this log line only",
		Causes:   []Cause{{"the mount is missing, or of another path", "auth.htpasswd.path in the config is not where the volume is"}, {"the file's name is another", "the path is a directory that was made by the mount"}},
		Confirm:  `docker exec REGISTRY ls -l /auth`,
		Mend:     Mend{Certyard: `"certyard up" writes the file before the registry starts, and mounts it read-only`, Hand: "make the file first, mount its directory read-only, and restart"},
		Source:   dist + "registry/auth/htpasswd/access.go:133-166",
	},
	{
		ID: "htpasswd-start", Title: "the registry cannot start with this htpasswd", Hops: []Hop{DaemonStart},
		Patterns: []Pattern{{Text: "unable to configure authorization (htpasswd): ", Hop: DaemonStart, Source: dist + "registry/handlers/app.go"}},
		Means:    "the file is not there and cannot be made, or cannot be read",
		Causes:   []Cause{{"it is missing, and its directory is mounted read-only", "the text says: read-only file system"}, {"it belongs to somebody else", "the text says: permission denied"}},
		Confirm:  `docker run --rm --volumes-from REGISTRY alpine ls -ln /auth`,
		Mend:     Mend{Certyard: `"certyard up" writes it, for the container's user`, Hand: "make the file on the host before the start; the registry's user has to be able to read it"},
		Source:   dist + "registry/handlers/app.go, registry/auth/htpasswd/access.go:133-158",
	},
}
