package lifecycle

import (
	"fmt"
	"slices"

	"github.com/certyard/certyard/stack"
	"github.com/certyard/certyard/stack/htpasswd"
	"github.com/certyard/certyard/stack/smoke"
)

// passwords settles each user's password and the htpasswd file. A generated
// password stays what it was; a chosen one is read anew, unless that is not what
// this draft is about.
func (dr *draft) passwords(d Deps) error {
	dr.secrets = stack.Secrets{HTTPSecret: dr.prior.secrets.HTTPSecret, Passwords: map[string]string{}}
	var users []htpasswd.User
	for _, u := range dr.spec.Registry.Users {
		password, cost := dr.prior.secrets.Passwords[u.Name], htpasswd.CostGenerated
		var err error
		switch {
		case !u.Generated():
			cost = htpasswd.CostChosen
			if !dr.keepsChosen || password == "" || dr.prior.generated(u.Name) {
				password, err = d.Password(u)
			}
		case password == "" || !dr.prior.generated(u.Name) || slices.Contains(dr.newPasswords, u.Name):
			password, err = htpasswd.Generate(d.Rand)
		}
		if err != nil {
			return fmt.Errorf("settling the password of user %q: %w", u.Name, err)
		}
		dr.secrets.Passwords[u.Name] = password
		users = append(users, htpasswd.User{Name: u.Name, Password: password, Cost: cost})
	}
	var err error
	if dr.secrets.HTTPSecret == "" {
		if dr.secrets.HTTPSecret, err = htpasswd.Generate(d.Rand); err != nil {
			return fmt.Errorf("making the registry's HTTP secret: %w", err)
		}
	}
	dr.htpasswd, err = htpasswd.Render(users, dr.prior.htpasswd)
	return err
}

// changedPasswords returns what the users had before whose password is replaced.
func (dr *draft) changedPasswords() []smoke.ChangedPassword {
	var out []smoke.ChangedPassword
	for _, user := range dr.newPasswords {
		out = append(out, smoke.ChangedPassword{User: user, Old: dr.prior.secrets.Passwords[user], New: dr.secrets.Passwords[user]})
	}
	return out
}

// generated reports whether a user's recorded password was made up by certyard.
// Without a record it was: a given one is always recorded with its source.
func (p prior) generated(user string) bool {
	if p.state == nil {
		return true
	}
	i := slices.IndexFunc(p.state.Spec.Registry.Users, func(u stack.UserSpec) bool { return u.Name == user })
	return i >= 0 && p.state.Spec.Registry.Users[i].Generated()
}
