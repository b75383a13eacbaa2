package state

// recover brings the directory into the state before or after the write or
// purge that was interrupted, if any was.
func (t *tree) recover() error {
	if kindAt(t.root.fd(), purgeMark) != "" {
		if err := t.empty(); err != nil {
			return err
		}
	}
	m, err := t.pending()
	if err != nil {
		return err
	}
	if m != nil {
		return t.place(*m)
	}
	return t.dropStage()
}

// dropCommit removes COMMIT. Without it the rest of .stage is nothing.
func (t *tree) dropCommit() error {
	stage, err := t.dir(stageDir)
	if stage == nil || kindAt(stage.fd(), commitFile) == "" {
		return err
	}
	return stage.unlink(commitFile)
}

// dropStage removes .stage.
func (t *tree) dropStage() error {
	stage, err := t.dir(stageDir)
	if stage == nil {
		return err
	}
	if err := t.dropCommit(); err != nil {
		return err
	}
	t.drop(stageDir)
	if err := t.root.removeAll(stageDir); err != nil {
		return err
	}
	return t.root.sync()
}
