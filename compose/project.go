package compose

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/compose/v5/pkg/api"
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
