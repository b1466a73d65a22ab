"""Types and fields of Currents as of its version 10 (Braze, 11.4 and 11.5): what is not here is new to us."""

from collections.abc import Mapping
from types import MappingProxyType

CHANNELS: Mapping[str, str] = MappingProxyType(
    {
        "pushnotification": "push",
        "inappmessage": "in_app",
        "contentcard": "content_card",
        "liveactivity": "live_activity",
        "featureflag": "feature_flag",
    }
)
"""Our word where it is not the one in `users.messages.<word>.…`."""

_TYPES = {
    "users.messages.email": "Send Delivery Open Click Bounce SoftBounce Deferral MarkAsSpam Unsubscribe Abort Retry",
    "users.messages.pushnotification": "Send Open Bounce IosForeground Abort Retry",
    "users.messages.sms": (
        "Send CarrierSend Delivery DeliveryFailure Rejection InboundReceive ShortLinkClick Abort Retry"
    ),
    "users.messages.whatsapp": "Send Delivery Read Failure InboundReceive Click Abort Retry",
    "users.messages.inappmessage": "Impression Click Abort",
    "users.messages.contentcard": "Send Impression Click Dismiss Abort",
    "users.messages.banner": "Impression Click Dismiss Abort",
    "users.messages.webhook": "Send Failure Abort Retry",
    "users.messages.rcs": "Send Delivery Read Click Rejection InboundReceive Abort",
    "users.messages.line": "Send Click InboundReceive Abort Retry",
    "users.messages.liveactivity": "Send Outcome",
    "users.messages.featureflag": "Impression",
    "users.campaigns": "Conversion EnrollInControl",
    "users.canvas": (
        "Entry Conversion exit.PerformedEvent exit.MatchedAudience experimentstep.SplitEntry experimentstep.Conversion"
    ),
    "users.canvasstep": "Progression",
    "users.canvas.costep": "Send",
    "users.behaviors": (
        "subscription.GlobalStateChange subscriptiongroup.StateChange CustomEvent Purchase Location InstallAttribution "
        "Uninstall app.FirstSession app.SessionStart app.SessionEnd pushnotification.TokenStateChange"
    ),
    "users.profile": "Update",
    "users": "UserDeleteRequest UserOrphan RandomBucketNumberUpdate",
    "agentconsole": "AgentExecuted ToolInvocation",
}
KNOWN_TYPES = frozenset(f"{prefix}.{name}" for prefix, names in _TYPES.items() for name in names.split())
_FIELDS = {
    "the event, its user, the groups CORE, CP, CV, DS, MV, AD, DV and OS": (
        "event_type id time user properties user_id external_user_id timezone app_group_id device_id "
        "campaign_id campaign_name message_variation_id message_variation_name "
        "canvas_id canvas_name canvas_variation_id canvas_variation_name canvas_step_id canvas_step_name "
        "dispatch_id send_id canvas_step_message_variation_id ad_id ad_id_type ad_tracking_enabled "
        "platform os_version device_model "
    ),
    "messages": (
        "email_address ip_pool message_extras from_domain sending_ip esp user_agent machine_open is_amp device_class "
        "device_os browser mailbox_provider url link_id link_alias is_suspected_bot_click suspected_bot_click_reason "
        "bounce_reason is_drop recipient_domain deferral_reason attempt_count abort_type abort_log retry_type "
        "retry_log app_id push_token locale_key button_action_type button_string to_phone_number from_phone_number "
        "subscription_group_id category is_sms_fallback error provider_error_code provider_error_title "
        "user_phone_number inbound_phone_number action message_body media_urls short_url flow_id template_name "
        "message_id bsuid quick_reply_text catalog_id product_id flow_response_json in_reply_to card_id button_id "
        "content_card_id banner_placement_id http_status_code endpoint_url host url_path raw_response content_length "
        "retry_count webhook_duration webhook_failure_source is_terminal "
    ),
    "campaigns, canvases, behaviours, profiles": (
        "conversion_behavior_index conversion_behavior in_control_group experiment_step_id experiment_split_id "
        "experiment_split_name progression_type is_canvas_entry exit_reason canvas_entry_id next_step_id channel "
        "content_optimizer_step_id combination_token subscription_status state_change_source channel_identifier "
        "phone_number name custom_properties purchase_properties price currency time_ms update_source archived "
        "first_name last_name gender dob home_city country language custom_attributes orphaned_by_id"
    ),
}
KNOWN_FIELDS = frozenset(name for names in _FIELDS.values() for name in names.split())
