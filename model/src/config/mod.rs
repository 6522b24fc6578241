//! install-config.yaml
