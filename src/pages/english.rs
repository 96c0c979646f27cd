//! The pages in English.

use super::Text;

pub(super) const fn english(text: Text) -> &'static str {
    match text {
        Text::Seconds => "{number} seconds",
        Text::Minutes => "{number} minutes",
        Text::Hours => "{number} hours",
        Text::Days => "{number} days",
        Text::OneSecond => "1 second",
        Text::JustNow => "just now",
        Text::AMinuteAgo => "a minute ago",
        Text::MinutesAgo => "{number} minutes ago",
        Text::HoursAgo => "{number} hours ago",
        Text::DaysAgo => "{number} days ago",
        Text::OnThisComputer => "a program on this computer",
        Text::OnThisDevice => "an app on this device",
        Text::ConsentTitle => "Allow access to your account?",
        Text::ConsentHeading => "Allow {client} to use your account?",
        Text::SignedInAs => "Signed in as {subject}",
        Text::AnotherAccount => "Use another account",
        Text::CompareCode => {
            "You are about to connect a device. Check that it is in front of you and that it shows exactly this code:"
        }
        Text::SentCode => "Did somebody send you this code, or a link to this page?",
        Text::SentCodeText => "Then choose Deny: to allow it would let them into your account.",
        Text::Unvouched => "Nobody has vouched for this application.",
        Text::UnvouchedHost => {
            "It registered itself and chose its own name. Allow it only if you started this yourself and know {destination}."
        }
        Text::UnvouchedComputer => {
            "It registered itself and chose its own name. Allow it only if you started this yourself in a program on this computer."
        }
        Text::UnvouchedApp => {
            "It registered itself and chose its own name. Allow it only if you started this yourself in an app on this device."
        }
        Text::UnvouchedDevice => {
            "It registered itself and chose its own name. Allow it only if you started this yourself."
        }
        Text::MayDo => "What it may do",
        Text::NothingAsked => "It asks for no particular permission.",
        Text::ManyAsked => {
            "These are {number} permissions. If that is more than the application needs, choose Deny."
        }
        Text::Where => "Where it may do that",
        Text::Details => "Details",
        Text::AnswerGoesTo => "The answer goes to",
        Text::DeviceAddress => "The device asked from",
        Text::DeviceAsked => "The device asked",
        Text::Lasts => "Access lasts",
        Text::AtMost => "at most {time}",
        Text::Website => "Website",
        Text::PrivacyPolicy => "Privacy policy",
        Text::TermsOfService => "Terms of service",
        Text::ApplicationId => "Application ID",
        Text::Allow => "Allow",
        Text::Deny => "Deny",
        Text::DeviceTitle => "Connect a device",
        Text::DeviceTitleProblem => "Problem: Connect a device",
        Text::DeviceHint => {
            "Type the code that your device shows. Small or capital letters, spaces and dashes make no difference."
        }
        Text::DeviceHintFilledIn => {
            "Look at your device: go on only if it shows exactly this code."
        }
        Text::GivenCode => "Did somebody send you a code?",
        Text::GivenCodeText => "Do not type it here: it would let them into your account.",
        Text::Code => "Code",
        Text::Continue => "Continue",
        Text::WrongCode => {
            "This code is not valid. Look at your device and type in what it shows. If it shows a new code, the old one has expired."
        }
        Text::LeavingTitle => "This request cannot be answered",
        Text::LeavingText => {
            "The application has to be told that its request could not be answered. Nothing was given to it."
        }
        Text::LeavingUnvouched => "Nobody has vouched for the application that sent you here.",
        Text::LeavingHost => "Go on only if you know {destination}. Otherwise close this page.",
        Text::LeavingComputer => {
            "Go on only if you know {destination}, a program on this computer. Otherwise close this page."
        }
        Text::LeavingApp => {
            "Go on only if you know {destination}, an app on this device. Otherwise close this page."
        }
        Text::ContinueTo => "Continue to {destination}",
        Text::AppsTitle => "Connected applications",
        Text::AppsText => {
            "These applications may use your account. Remove those that you no longer use or do not know."
        }
        Text::NoApps => "No application has access to your account.",
        Text::NoAppsText => "When you allow one, it stands here, and you can take the access back.",
        Text::AppRemoved => "The access was removed.",
        Text::AppUnvouched => "Registered itself: nobody has vouched for it",
        Text::AppDevice => "A device",
        Text::AppOnComputer => "A program on a computer",
        Text::AppOnDevice => "An app on a device",
        Text::AppWhere => "Where it is",
        Text::AppSince => "Has access since",
        Text::AppLastUsed => "Last used",
        Text::AppEnds => "Access ends",
        Text::Remove => "Remove access",
        Text::RemoveText => "{client} loses its access to your account. It can ask you again.",
        Text::RemoveNow => "Yes, remove",
        Text::MoreApps => "More applications",
        Text::FewerApps => "Back",
        Text::ConnectedTitle => "Device connected",
        Text::ConnectedText => "You can close this page and go back to your device.",
        Text::DeniedTitle => "Request denied",
        Text::DeniedText => "Nothing was given to the device. You can close this page.",
        Text::AnsweredTitle => "Already answered",
        Text::AnsweredText => {
            "This request was answered before, and an answer is final. You can close this page. To begin anew, go back to the application."
        }
        Text::ForgedTitle => "Not accepted",
        Text::ForgedText => {
            "The answer did not come from the page that asked you. Go back to the application and start again."
        }
        Text::ForgedCodeText => {
            "The code did not come from this page. Open it yourself and type the code in there."
        }
        Text::ForgedRemovalText => {
            "Nothing was removed: the form did not come from this page, or it was open too long. Open the list of connected applications again and repeat it there."
        }
        Text::ToList => "Show connected applications",
        Text::ToDevice => "Type in a code",
        Text::ExpiredTitle => "Expired",
        Text::ExpiredText => {
            "This request has expired or is not known. Go back to the application and start again."
        }
        Text::UnknownTitle => "Unknown application",
        Text::UnknownText => {
            "The application is not known here. If you came from one that you use, its makers have to register it, or it has to be set up anew."
        }
        Text::UnregisteredTitle => "Not sent on",
        Text::UnregisteredText => {
            "The address to return to is not registered for this application. So that nothing of yours gets into wrong hands, you are not sent there. Tell the makers of the application."
        }
        Text::TooManyTitle => "Please wait",
        Text::TooManyText => "There were too many tries. Wait for {time}, and then try again.",
        Text::UnavailableTitle => "Not available right now",
        Text::UnavailableText => {
            "Something failed here, and it is not your fault. Wait a moment, then load this page again."
        }
        Text::NotSignedInTitle => "Not signed in",
        Text::NotSignedInText => {
            "You have come back from signing in, but nobody is signed in here. Allow cookies for this site, then open this page again."
        }
        Text::InvalidTitle => "This does not work",
        Text::InvalidText => {
            "The request is not one that can be answered. Go back to where you came from and start again. If it happens again, tell the makers of the application."
        }
        Text::Technical => "For the makers of the application",
        Text::ErrorId => "If you ask for help, name",
    }
}
