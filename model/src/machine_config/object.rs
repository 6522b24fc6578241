//! A machine config as an object of the API.

use serde_json::{Value, json};

use super::{API_VERSION, KIND, MachineConfig};

impl MachineConfig {
    /// What `kubectl apply` would be given.
    pub fn to_object(&self) -> Value {
        if let Some(settings) = &self.settings {
            return settings.object.clone();
        }
        let mut metadata = json!({"name": self.name, "labels": self.all_labels()});
        if !self.annotations.is_empty() {
            metadata["annotations"] = json!(self.annotations);
        }
        let mut spec = json!({});
        if let Some(config) = &self.config {
            spec["config"] = config.clone();
        }
        if !self.kernel_arguments.is_empty() {
            spec["kernelArguments"] = json!(self.kernel_arguments);
        }
        json!({"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec})
    }
}
