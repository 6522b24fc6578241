//! The routes of the Redfish service. Ids depend on the personality, so paths are made when it is known.

use super::config::VirtualBmc;
use super::guard::guard;
use super::{accounts, media, resources, system};
use axum::Router;
use axum::extract::Request;
use axum::http::Uri;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use std::sync::Arc;
use tower::ServiceBuilder;

/// The whole service; `serve` puts it on a TLS listener.
pub fn app(bmc: Arc<VirtualBmc>) -> Router {
    let routes = service_routes()
        .merge(system_routes(&bmc))
        .merge(manager_routes(&bmc))
        .layer(from_fn_with_state(bmc.clone(), guard))
        .with_state(bmc);
    // "/redfish/v1/" and "/redfish/v1" are the same.
    Router::new().fallback_service(ServiceBuilder::new().map_request(without_trailing_slash).service(routes))
}

type Routes = Router<Arc<VirtualBmc>>;

fn service_routes() -> Routes {
    Router::new()
        .route("/redfish", get(resources::versions))
        .route("/redfish/v1", get(resources::root))
        .route("/redfish/v1/odata", get(resources::odata))
        .route("/redfish/v1/$metadata", get(resources::metadata))
        .route("/redfish/v1/SessionService", get(resources::session_service))
        .route("/redfish/v1/SessionService/Sessions", get(resources::sessions).post(resources::log_in))
        .route("/redfish/v1/SessionService/Sessions/Members", post(resources::log_in))
        .route("/redfish/v1/SessionService/Sessions/{id}", get(resources::session).delete(resources::log_out))
        .route("/redfish/v1/AccountService", get(accounts::service))
        .route("/redfish/v1/AccountService/Roles", get(accounts::roles))
        .route("/redfish/v1/AccountService/Roles/{id}", get(accounts::role))
        .route("/redfish/v1/TaskService", get(resources::task_service))
        .route("/redfish/v1/TaskService/Tasks", get(resources::tasks))
        .route("/redfish/v1/TaskService/Tasks/{id}", get(resources::task))
        .route("/redfish/v1/TaskService/TaskMonitors/{id}", get(resources::task_monitor))
        .route("/redfish/v1/Chassis", get(resources::chassis_collection))
        .route("/redfish/v1/Chassis/1", get(resources::chassis))
        .route("/redfish/v1/Systems", get(system::collection))
        .route("/redfish/v1/Managers", get(resources::manager_collection))
}

fn system_routes(bmc: &VirtualBmc) -> Routes {
    let base = bmc.system_path();
    let routes = Router::new()
        .route(&base, get(system::read).patch(system::write))
        .route(&format!("{base}/Actions/ComputerSystem.Reset"), post(system::reset))
        .route(&format!("{base}/EthernetInterfaces"), get(system::interfaces))
        .route(&format!("{base}/EthernetInterfaces/{{id}}"), get(system::interface));
    if bmc.traits.boot_in_settings {
        return routes
            .route(&format!("{base}/Settings"), get(system::settings).patch(system::write_settings));
    }
    routes
}

fn manager_routes(bmc: &VirtualBmc) -> Routes {
    let base = bmc.manager_path();
    let slot = bmc.media_path();
    let mut routes = Router::new()
        .route(&base, get(resources::manager))
        .route(&format!("{base}/VirtualMedia"), get(media::collection))
        .route(&slot, get(media::read).patch(media::write));
    if !bmc.traits.media_by_patch {
        routes = routes
            .route(&format!("{slot}/Actions/VirtualMedia.InsertMedia"), post(media::insert))
            .route(&format!("{slot}/Actions/VirtualMedia.EjectMedia"), post(media::eject));
    }
    if let Some(dead) = bmc.traits.dead_media_id {
        let dead = format!("{base}/VirtualMedia/{dead}");
        routes = routes
            .route(&dead, get(media::read_dead).patch(media::change_dead))
            .route(&format!("{dead}/Actions/VirtualMedia.InsertMedia"), post(media::change_dead))
            .route(&format!("{dead}/Actions/VirtualMedia.EjectMedia"), post(media::change_dead));
    }
    routes
}

fn without_trailing_slash(mut request: Request) -> Request {
    let uri = request.uri();
    let path = uri.path().trim_end_matches('/');
    if path.len() < uri.path().len() && !path.is_empty() {
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        if let Ok(uri) = format!("{path}{query}").parse::<Uri>() {
            *request.uri_mut() = uri;
        }
    }
    request
}
