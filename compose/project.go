package compose

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/compose/v5/pkg/api"
	sdk "github.com/docker/compose/v5/pkg/compose"
)

// Source says which files make a project.
type Source struct {
	// Name of the project.
	Name string
	// Dir is the project directory: relative paths in the files start there.
	Dir string
	// Files are compose.yaml, then overrides, as absolute paths.
	Files []string
}

// Load reads a project with Compose's own loader and labels it as the compose
// CLI does, which is what lets `docker compose -p NAME ps|logs|down` find it.
//
// Variables like ${HOME} take their values from the environment of the process,
// as people expect in an override. What the environment cannot do is choose
// something else than the Source says: COMPOSE_FILE, COMPOSE_PROJECT_NAME,
// COMPOSE_PROFILES and .env files are not read.
func Load(ctx context.Context, s Source) (*types.Project, error) {
	o, err := cli.NewProjectOptions(s.Files,
		cli.WithOsEnv, cli.WithWorkingDirectory(s.Dir), cli.WithName(s.Name))
	if err != nil {
		return nil, fmt.Errorf("loading the compose project %q: %w", s.Name, err)
	}
	p, err := o.LoadProject(ctx)
	if err != nil {
		return nil, fmt.Errorf("loading %s: %w", strings.Join(s.Files, " and "), err)
	}
	for name, service := range p.Services {
		service.CustomLabels = types.Labels{
			api.ProjectLabel:     p.Name,
			api.ServiceLabel:     name,
			api.VersionLabel:     api.ComposeVersion,
			api.WorkingDirLabel:  filepath.Clean(p.WorkingDir),
			api.ConfigFilesLabel: strings.Join(p.ComposeFiles, ","),
			api.OneoffLabel:      "False",
		}
		p.Services[name] = service
	}
	return p.WithoutUnnecessaryResources(), nil
}

// Redefined reports whether the project defines the service of a container
// otherwise than it was when Compose made the container, so that the next Up
// makes another one. Of an image with the same name nothing is seen, nor of a
// container that Compose has not made; a nil project defines nothing.
func Redefined(p *types.Project, c Container) bool {
	made := c.Labels[api.ConfigHashLabel]
	if p == nil || made == "" {
		return false
	}
	service, ok := p.Services[c.Service]
	if !ok {
		return false
	}
	now, err := sdk.ServiceHash(service)
	return err == nil && now != made
}

// LoadFile reads somebody's compose file as the docker compose command would:
// relative paths start at its directory, variables come from the environment of
// the process and then from the .env file there, the name is the file's, that of
// COMPOSE_PROJECT_NAME or that of the directory, and services of a profile are
// left out unless COMPOSE_PROFILES has it. A file with a default name has its
// override beside it counted, as where no file is named
// (compose-spec/compose-go v2.16.2 cli/options.go:213-252). Nothing is added.
func LoadFile(ctx context.Context, file string) (*types.Project, error) {
	o, err := cli.NewProjectOptions(withOverride(file),
		cli.WithOsEnv, cli.WithEnvFiles(), cli.WithDotEnv, cli.WithDefaultProfiles())
	if err != nil {
		return nil, fmt.Errorf("loading %s: %w", file, err)
	}
	p, err := o.LoadProject(ctx)
	if err != nil {
		return nil, fmt.Errorf("loading %s: %w", file, err)
	}
	return p, nil
}

// withOverride returns a compose file and the first override beside it.
func withOverride(file string) []string {
	if !slices.Contains(cli.DefaultFileNames, filepath.Base(file)) {
		return []string{file}
	}
	for _, name := range cli.DefaultOverrideFileNames {
		beside := filepath.Join(filepath.Dir(file), name)
		if s, err := os.Stat(beside); err == nil && !s.IsDir() {
			return []string{file, beside}
		}
	}
	return []string{file}
}
